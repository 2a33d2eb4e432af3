# Services of which more than a switch matters here: what Tailscale does to the
# firewall, and Redis with its several servers.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  tailscale = config.services.tailscale;
  servers = lib.filterAttrs (_: s: s.enable) config.services.redis.servers;
in
{
  options.services = {
    tailscale = {
      interfaceName = mkOption {
        type = types.str;
        default = "tailscale0";
      };
      useRoutingFeatures = mkOption {
        type = types.enum [
          "none"
          "client"
          "server"
          "both"
        ];
        default = "none";
      };
      authKeyFile = mkOption {
        type = types.nullOr types.path;
        default = null;
      };
    };
    datadog-agent.apiKeyFile = mkOption { type = types.path; };
    restic.backups = mkOption {
      default = { };
      type = types.attrsOf (types.attrsOf types.anything);
    };
    redis.servers = mkOption {
      default = { };
      type = types.attrsOf (
        types.submodule {
          freeformType = types.attrsOf types.anything;
          options = {
            enable = lib.mkEnableOption "the server";
            port = mkOption {
              type = types.port;
              default = 0;
            };
          };
        }
      );
    };
  };

  config = {
    networking.firewall.checkReversePath = lib.mkIf (
      tailscale.enable
      && lib.elem tailscale.useRoutingFeatures [
        "client"
        "both"
      ]
    ) "loose";
    boot.kernel.sysctl = lib.mkIf (
      tailscale.enable
      && lib.elem tailscale.useRoutingFeatures [
        "server"
        "both"
      ]
    ) { "net.ipv4.conf.all.forwarding" = lib.mkOverride 97 true; };
    systemd.services = lib.mkMerge [
      (lib.mkIf (tailscale.enable && tailscale.authKeyFile != null) {
        tailscaled-autoconnect = {
          description = "Join the Tailscale network";
          script = "${lib.getExe pkgs.tailscale} up --auth-key file:${tailscale.authKeyFile}";
        };
      })
      (lib.mapAttrs' (
        name: backup:
        lib.nameValuePair "restic-backups-${name}" {
          description = "Backup ${name}";
          startAt = backup.timerConfig.OnCalendar or "daily";
          serviceConfig.ExecStart = [
            "${pkgs.restic}/bin/restic backup # ${builtins.unsafeDiscardStringContext (builtins.toJSON backup)}"
          ];
        }
      ) config.services.restic.backups)
      (lib.mapAttrs' (
        name: server:
        lib.nameValuePair "redis-${name}" {
          description = "Redis Server - ${name}";
          wantedBy = [ "multi-user.target" ];
          serviceConfig.ExecStart = "${pkgs.redis}/bin/redis-server ${
            pkgs.writeText "redis-${name}.conf" (builtins.toJSON server)
          }";
        }
      ) servers)
    ];
    environment.systemPackages = lib.mkIf (servers != { }) [ pkgs.redis ];
  };
}
