# What programs need beside the core of Wayland: portals (files, screen
# sharing), X11 in a window, and toolkits that choose Wayland.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.pantherOS.desktop.compositor.wayland-protocols;
in
{
  options.pantherOS.desktop.compositor.wayland-protocols = {
    enable = lib.mkEnableOption "portals, X11 programs and Wayland for all toolkits";

    x11 = lib.mkOption {
      type = lib.types.bool;
      default = true;
      description = "Whether X11 programs run, in a small server of their own that niri starts.";
    };

    debug = lib.mkEnableOption "logs of the protocol by every program (WAYLAND_DEBUG), for finding faults: very long";
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = lib.optional cfg.x11 pkgs.xwayland-satellite;

    xdg.portal = {
      enable = true;
      # The GNOME portal shares screens, which niri speaks; that of GTK does
      # everything else.
      extraPortals = [ pkgs.xdg-desktop-portal-gtk ];
      config.niri = {
        default = [
          "gnome"
          "gtk"
        ];
        "org.freedesktop.impl.portal.Access" = [ "gtk" ];
        "org.freedesktop.impl.portal.Notification" = [ "gtk" ];
        "org.freedesktop.impl.portal.Secret" = [ "gnome-keyring" ];
      };
    };

    environment.sessionVariables = {
      # Electron and Chromium speak Wayland when they are told so.
      NIXOS_OZONE_WL = "1";
      # Qt and SDL take X11 where both are there; the second is for when there
      # is no Wayland.
      QT_QPA_PLATFORM = "wayland;xcb";
      SDL_VIDEODRIVER = "wayland,x11";
      # Old Java draws grey windows on a compositor that does not reparent.
      _JAVA_AWT_WM_NONREPARENTING = "1";
    }
    // lib.optionalAttrs cfg.debug { WAYLAND_DEBUG = "1"; };
  };
}
