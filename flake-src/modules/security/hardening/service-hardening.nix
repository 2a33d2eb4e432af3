# Sandboxes for services: what a unit has no business with, it cannot do. Most
# of NixOS's services have theirs; this is for those that have none, and for
# what other modules name.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.security.hardening.service-hardening;

  # Safe for a service that neither administers the machine nor starts programs
  # as somebody else.
  sandbox = {
    LockPersonality = true;
    NoNewPrivileges = true;
    PrivateTmp = true;
    ProtectControlGroups = true;
    ProtectHome = true;
    ProtectHostname = true;
    ProtectKernelLogs = true;
    ProtectKernelModules = true;
    ProtectKernelTunables = true;
    RestrictRealtime = true;
    RestrictSUIDSGID = true;
    SystemCallArchitectures = "native";
  };
in
{
  options.pantherOS.security.hardening.service-hardening = {
    enable = lib.mkEnableOption "sandboxes for services";

    units = mkOption {
      default = { };
      example = {
        thermald.except = [ "ProtectKernelTunables" ];
      };
      description = "Services to shut in. A setting that the service has already stays as it is.";
      type = types.attrsOf (
        types.submodule {
          options.except = mkOption {
            type = types.listOf (types.enum (lib.attrNames sandbox));
            default = [ ];
            example = [ "ProtectHome" ];
            description = "What of the sandbox the service could not work in.";
          };
        }
      );
    };
  };

  config = lib.mkIf cfg.enable {
    pantherOS.security.hardening.service-hardening.units = lib.mkMerge [
      (lib.mkIf config.services.qemuGuest.enable {
        # Freezing file systems and shutting down is its task.
        qemu-guest-agent.except = [
          "ProtectControlGroups"
          "ProtectHome"
          "ProtectKernelTunables"
        ];
      })
      (lib.mkIf config.services.thermald.enable {
        # It sets limits in /sys and may need the module for the MSRs.
        thermald.except = [
          "ProtectKernelModules"
          "ProtectKernelTunables"
        ];
      })
      (lib.mkIf config.pantherOS.security.secrets.opnix.enable {
        opnix-secrets = { };
      })
      # No log that it turns is in a home.
      (lib.mkIf config.pantherOS.security.audit.security-logging.enable {
        logrotate = { };
      })
    ];

    systemd.services = lib.mapAttrs (_: unit: {
      serviceConfig = lib.mapAttrs (_: lib.mkDefault) (removeAttrs sandbox unit.except);
    }) cfg.units;
  };
}
