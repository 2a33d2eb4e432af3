# Writing software: Git, compilers, containers.
{ lib, ... }:
let
  on = lib.mkDefault true;
in
{
  pantherOS = {
    apps.development = {
      language-tools.enable = on;
      version-control.enable = on;
    };
    services.containers.podman.enable = on;
  };
}
