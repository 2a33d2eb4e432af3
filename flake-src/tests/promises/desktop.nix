# modules/desktop: everything there is about the niri session.
{ is, has, some, ... }:
let
  kdl = has "environment.etc.niri/config.kdl.text";
  package = has "environment.systemPackages";
in
builtins.mapAttrs (
  _: module:
  module
  // {
    also = {
      desktop = (module.also.desktop or { }) // {
        compositor = {
          niri.enable = true;
        }
        // (module.also.desktop.compositor or { });
      };
    }
    // removeAttrs (module.also or { }) [ "desktop" ];
  }
) {
  "modules/desktop/compositor/niri.nix" = {
    line = "Niri compositor setup";
    more = "Niri Wayland compositor configuration";
    facts = [
      (is "programs.niri.enable" true)
      (is "services.greetd.enable" true)
      (kdl "binds {")
    ];
  };
  "modules/desktop/compositor/wayland-protocols.nix" = {
    line = "Wayland protocol support";
    more = "Wayland protocol extensions";
    facts = [
      (has "xdg.portal.extraPortals" "xdg-desktop-portal-gtk")
      (has "xdg.portal.config.niri.default" "gnome")
      (is "environment.sessionVariables.NIXOS_OZONE_WL" "1")
      (package "xwayland-satellite")
    ];
  };
  "modules/desktop/compositor/window-management.nix" = {
    line = "Window rules and behavior";
    facts = [
      (kdl "window-rule {")
      (kdl "gaps 8")
      (kdl "Mod+Q repeat=false { close-window; }")
    ];
  };
  "modules/desktop/compositor/workspace-management.nix" = {
    line = "Workspace configuration";
    more = "Workspace configuration and shortcuts";
    also.desktop.compositor.workspace-management.named = [ { name = "chat"; } ];
    facts = [
      (kdl ''workspace "chat"'')
      (kdl "Mod+1 { focus-workspace 1; }")
    ];
  };
  "modules/desktop/display/multi-monitor.nix" = {
    line = null;
    what = "Named by desktop as modules/desktop/display/multi-monitor.nix: several screens side by side";
    also = {
      hardware.display = {
        enable = true;
        outputs = builtins.listToAttrs (
          map
            (name: {
              inherit name;
              value.mode = {
                width = 1920;
                height = 1080;
              };
            })
            [
              "DP-1"
              "DP-2"
            ]
        );
      };
      desktop.display.multi-monitor.order = [
        "DP-1"
        "DP-2"
      ];
    };
    facts = [
      (kdl "position x=1920 y=0")
      (kdl "focus-at-startup")
      (kdl "focus-monitor-left")
    ];
  };
  "modules/desktop/theming/dankmaterialshell.nix" = {
    line = "DMS integration";
    more = "DankMaterialShell integration";
    facts = [
      (is "programs.dank-material-shell.enable" true)
      (is "programs.dank-material-shell.systemd.enable" true)
      (kdl "powermenu")
    ];
  };
  "modules/desktop/theming/gtk-themes.nix" = {
    line = "GTK application themes";
    more = "GTK application theming";
    facts = [
      (package "adw-gtk3")
      (some "programs.dconf.profiles.user.databases")
    ];
  };
  "modules/desktop/theming/icon-themes.nix" = {
    line = "Icon pack configuration";
    facts = [
      (package "papirus-icon-theme")
      (package "bibata-cursors")
      (kdl ''xcursor-theme "Bibata-Modern-Classic"'')
    ];
  };
  "modules/desktop/theming/font-management.nix" = {
    line = "Font configuration";
    more = "Font installation and configuration";
    facts = [
      (has "fonts.packages" "inter")
      (has "fonts.fontconfig.defaultFonts.sansSerif" "Inter")
      (some "programs.dconf.profiles.user.databases")
    ];
  };
  "modules/desktop/theming/color-schemes.nix" = {
    line = "Color scheme definitions";
    more = "Color scheme definitions and application";
    also.desktop.applications.terminal.enable = true;
    facts = [
      (has "console.colors" "1e1e2e")
      (kdl ''active-color "#89b4fa"'')
    ];
  };
  "modules/desktop/applications/browser.nix" = {
    line = "Web browser configuration";
    more = "Web browser configuration and extensions";
    facts = [
      (is "programs.firefox.enable" true)
      (is "programs.firefox.policies.ExtensionSettings.uBlock0@raymondhill.net.installation_mode" "normal_installed")
      (kdl ''spawn "firefox"'')
    ];
  };
  "modules/desktop/applications/file-manager.nix" = {
    line = "File manager setup";
    more = "File manager setup and customization";
    facts = [
      (package "nautilus")
      (is "services.gvfs.enable" true)
      (is "xdg.mime.defaultApplications.inode/directory" "org.gnome.Nautilus.desktop")
      (kdl ''spawn "nautilus"'')
    ];
  };
  "modules/desktop/applications/terminal.nix" = {
    line = "Terminal configuration";
    more = "Terminal emulator configuration";
    facts = [
      (is "programs.foot.enable" true)
      (is "programs.foot.settings.scrollback.lines" 10000)
      (kdl ''spawn "foot"'')
    ];
  };
  "modules/desktop/applications/text-editor.nix" = {
    line = "Text editor setup";
    more = "Text editor setup and plugins";
    facts = [
      (package "gnome-text-editor")
      (is "xdg.mime.defaultApplications.text/plain" "org.gnome.TextEditor.desktop")
      (some "programs.dconf.profiles.user.databases")
    ];
  };
  "modules/desktop/system/notifications.nix" = {
    line = "Notification system";
    more = "Notification system configuration";
    facts = [
      (package "libnotify")
      (some "systemd.user.services.mako.serviceConfig.ExecStart")
      (kdl "Mod+N { spawn")
    ];
  };
  "modules/desktop/system/status-bar.nix" = {
    line = "Status bar configuration";
    more = "Status bar and panel setup";
    facts = [
      (is "programs.waybar.enable" true)
      (some "environment.etc.xdg/waybar/config.jsonc.text")
      (kdl "Mod+B { spawn")
    ];
    onHosts = [ (is "programs.dank-material-shell.enableSystemMonitoring" true) ];
  };
  "modules/desktop/system/application-launcher.nix" = {
    line = "App launcher setup";
    more = "Application launcher configuration";
    facts = [
      (package "fuzzel")
      (some "environment.etc.xdg/fuzzel/fuzzel.ini.text")
      (kdl "Mod+Space { spawn")
    ];
  };
  "modules/desktop/system/clipboard.nix" = {
    line = "Clipboard management";
    more = "Clipboard management and history";
    facts = [
      (package "wl-clipboard")
      (some "systemd.user.services.cliphist.serviceConfig.ExecStart")
      (kdl "Mod+V { spawn")
    ];
  };
}
