# Services in containers.
{ lib, ... }:
{
  pantherOS.services.containers.podman.enable = lib.mkDefault true;
}
