# Services in containers, kept up to date, and a registry for those of one's own.
{ lib, ... }:
let
  on = lib.mkDefault true;
in
{
  pantherOS.services.containers = {
    container-security.enable = on;
    podman = {
      enable = on;
      autoUpdate = on;
    };
    registry = {
      enable = on;
      # For the workstations, over Tailscale.
      listenAddress = lib.mkDefault "0.0.0.0";
    };
  };
}
