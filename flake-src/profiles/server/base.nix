# A machine that nobody sits at: reached over SSH, bare of what it does not need.
{ lib, ... }:
let
  on = lib.mkDefault true;
  off = lib.mkDefault false;
in
{
  pantherOS = {
    networking.server-net.enable = on;
    security = {
      hardening = {
        kernel = {
          protectImage = on;
          usbStorage = off;
        };
        user-security.shellTimeout = lib.mkDefault 900;
      };
      secrets = {
        certificate.enable = on;
        ssh-hardening = {
          enable = on;
          vaultHostKey = on;
          workstationKey = on;
        };
      };
    };
    services = {
      cache.attic.enable = on;
      # It is reached through others, and offers itself to them.
      networking.tailscale.routing = lib.mkDefault "server";
    };
  };

  documentation.enable = off;
  fonts.fontconfig.enable = off;
  xdg.mime.enable = off;
}
