# What containers may do, whoever starts them: images from named registries
# alone, fewer capabilities, a bound on processes.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.services.containers.container-security;
  accept = [ { type = "insecureAcceptAnything"; } ];
  reject = [ { type = "reject"; } ];
in
{
  options.pantherOS.services.containers.container-security = {
    enable = lib.mkEnableOption "hardened defaults for containers";

    registries = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "registry.example.org/team" ];
      description = "Registries, or parts of one, that images may come from, beside docker.io, ghcr.io and quay.io.";
    };

    capabilities = mkOption {
      type = types.listOf (types.strMatching "[A-Z_]+");
      # Podman's own list without FSETID, SETPCAP and SYS_CHROOT, which images
      # hardly ever need; `--cap-add` gives them to one container.
      default = [
        "CHOWN"
        "DAC_OVERRIDE"
        "FOWNER"
        "KILL"
        "NET_BIND_SERVICE"
        "SETFCAP"
        "SETGID"
        "SETUID"
      ];
      example = [
        "CHOWN"
        "SETGID"
        "SETUID"
      ];
      description = "Capabilities of a container's root.";
    };

    maxProcesses = mkOption {
      type = types.ints.positive;
      default = 1024;
      example = 4096;
      description = "How many processes one container may have.";
    };
  };

  config = lib.mkIf cfg.enable {
    virtualisation.containers = {
      enable = true;

      containersConf.settings.containers = {
        default_capabilities = cfg.capabilities;
        pids_limit = cfg.maxProcesses;
        # Into the journal, where logs are bounded and collected.
        log_driver = "journald";
      };

      # `podman pull nginx` means docker.io's: a second registry to try is one
      # that can offer another image by the same name.
      registries.search = lib.mkForce [ "docker.io" ];

      policy = {
        default = reject;
        transports = {
          docker = lib.genAttrs (
            [
              "docker.io"
              "ghcr.io"
              "quay.io"
            ]
            ++ cfg.registries
          ) (_: accept);
        }
        # What is on this machine already: images built here, archives.
        // lib.genAttrs [
          "containers-storage"
          "dir"
          "docker-archive"
          "oci"
          "oci-archive"
          "tarball"
        ] (_: { "" = accept; });
      };
    };
  };
}
