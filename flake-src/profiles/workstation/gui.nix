# The desktop: niri with DankMaterialShell, its theme, and the programs that
# everybody needs.
{ lib, ... }:
let
  on = lib.mkDefault true;
in
{
  pantherOS.desktop = {
    applications = {
      browser.enable = on;
      file-manager.enable = on;
      terminal.enable = on;
      text-editor.enable = on;
    };
    compositor = {
      niri.enable = on;
      wayland-protocols.enable = on;
      window-management.enable = on;
      workspace-management.enable = on;
    };
    system = {
      application-launcher.enable = on;
      clipboard.enable = on;
      notifications.enable = on;
      status-bar.enable = on;
    };
    theming = {
      color-schemes.enable = on;
      dankmaterialshell.enable = on;
      font-management.enable = on;
      gtk-themes.enable = on;
      icon-themes.enable = on;
    };
  };

  pantherOS.hardware.gpu.wayland-gpu.enable = on;

  # Wayland only; X11 programs run under Xwayland.
  services.xserver.enable = lib.mkDefault false;
}
