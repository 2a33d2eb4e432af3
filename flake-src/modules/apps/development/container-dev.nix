# Developing with containers: building images, looking into them, several at
# once. What runs them is services/containers/podman.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.pantherOS.apps.development.container-dev;
in
{
  options.pantherOS.apps.development.container-dev = {
    enable = lib.mkEnableOption "tools to build and inspect containers";
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = config.pantherOS.services.containers.podman.enable;
        message = "pantherOS.apps.development.container-dev works with Podman: set pantherOS.services.containers.podman.enable.";
      }
    ];

    environment.systemPackages = [
      pkgs.buildah
      pkgs.dive
      pkgs.podman-tui
      pkgs.skopeo
    ];

    # Tools that speak to Docker find Podman's socket, each person's own and
    # started on first use.
    environment.extraInit = ''
      if [ -z "$DOCKER_HOST" ] && [ -n "$XDG_RUNTIME_DIR" ]; then
        export DOCKER_HOST="unix://$XDG_RUNTIME_DIR/podman/podman.sock"
      fi
    '';
    systemd.user.sockets.podman.wantedBy = [ "sockets.target" ];
  };
}
