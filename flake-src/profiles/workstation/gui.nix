# The desktop: niri with DankMaterialShell, fonts, a browser, a terminal.
{ lib, ... }:
let
  on = lib.mkDefault true;
in
{
  pantherOS.desktop = {
    applications = {
      browser.enable = on;
      terminal.enable = on;
    };
    compositor.niri.enable = on;
    theming = {
      dankmaterialshell.enable = on;
      font-management.enable = on;
    };
  };

  # Wayland only; X11 programs run under Xwayland.
  services.xserver.enable = lib.mkDefault false;
}
