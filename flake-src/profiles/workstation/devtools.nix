# Writing software: Git, compilers, IDEs, containers.
{ lib, ... }:
let
  on = lib.mkDefault true;
in
{
  pantherOS = {
    apps.development = {
      container-dev.enable = on;
      ide.enable = on;
      language-tools.enable = on;
      version-control.enable = on;
    };
    services = {
      cache.local-cache.keepBuildInputs = on;
      containers = {
        container-security.enable = on;
        podman.enable = on;
      };
    };
  };
}
