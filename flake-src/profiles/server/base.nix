# A machine that nobody sits at: reached over SSH, bare of what it does not need.
{ lib, ... }:
let
  on = lib.mkDefault true;
  off = lib.mkDefault false;
in
{
  pantherOS = {
    networking.server-net.enable = on;
    security.secrets.ssh-hardening.enable = on;
    # It is reached through others, and offers itself to them.
    services.networking.tailscale.routing = lib.mkDefault "server";
  };

  documentation.enable = off;
  fonts.fontconfig.enable = off;
  xdg.mime.enable = off;
}
