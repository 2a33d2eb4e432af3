# Metrics: Prometheus with the machine's own figures, those of the node
# exporter and those that modules and hosts add. Nothing of it is open to a
# network; over Tailscale, whose interface is trusted, one can look.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.services.monitoring.metrics;
  node = config.services.prometheus.exporters.node;
in
{
  options.pantherOS.services.monitoring.metrics = {
    enable = lib.mkEnableOption "Prometheus and the node exporter";

    retention = mkOption {
      type = types.strMatching "[0-9]+[dwy]";
      default = "30d";
      example = "1y";
      description = "How long figures are kept.";
    };

    interval = mkOption {
      type = types.strMatching "[0-9]+[sm]";
      default = "30s";
      example = "1m";
      description = "How often they are taken.";
    };

    directory = mkOption {
      type = types.path;
      readOnly = true;
      default = "/var/lib/node-exporter-text";
      description = "Where the node exporter reads further figures from: files <name>.prom, replaced whole.";
    };

    custom = mkOption {
      default = { };
      example = lib.literalExpression ''
        {
          mail-queue = {
            command = "echo mail_queue_length $(ls /var/spool/mail | wc -l)";
            every = "1min";
          };
        }
      '';
      description = "Figures of one's own: commands, run as root, that print them in Prometheus's text format.";
      type = types.attrsOf (
        types.submodule {
          options = {
            command = mkOption {
              type = types.lines;
              description = "What to run.";
            };
            every = mkOption {
              type = types.strMatching "[0-9]+(s|min|h|d)";
              default = "5min";
              description = "How often.";
            };
          };
        }
      );
    };
  };

  config = lib.mkIf cfg.enable {
    pantherOS.services.monitoring.metrics.custom.generation = {
      command = ''
        echo "pantheros_generation_since_seconds $(stat --format %Y /nix/var/nix/profiles/system)"
        if [ "$(readlink /run/booted-system/kernel)" = "$(readlink /run/current-system/kernel)" ]; then
          echo pantheros_reboot_wanted 0
        else
          echo pantheros_reboot_wanted 1
        fi
      '';
    };

    services.prometheus = {
      enable = true;
      retentionTime = cfg.retention;
      globalConfig.scrape_interval = cfg.interval;

      exporters.node = {
        enable = true;
        enabledCollectors = [ "systemd" ];
        extraFlags = [ "--collector.textfile.directory=${cfg.directory}" ];
        listenAddress = "127.0.0.1";
      };

      scrapeConfigs = [
        {
          job_name = "node";
          static_configs = [ { targets = [ "127.0.0.1:${toString node.port}" ]; } ];
        }
      ];
    };

    systemd.tmpfiles.rules = [ "d ${cfg.directory} 0755 root root -" ];

    # Written beside and renamed: the exporter never reads half a file.
    systemd.services = lib.mapAttrs' (
      name: metric:
      lib.nameValuePair "metric-${name}" {
        description = "Figures of ${name}";
        script = ''
          set -eu
          {
          ${metric.command}
          } >${cfg.directory}/.${name}.new
          mv ${cfg.directory}/.${name}.new ${cfg.directory}/${name}.prom
        '';
        serviceConfig = {
          Type = "oneshot";
          ProtectSystem = "strict";
          ReadWritePaths = [ cfg.directory ];
          PrivateTmp = true;
          NoNewPrivileges = true;
        };
      }
    ) cfg.custom;
    systemd.timers = lib.mapAttrs' (
      name: metric:
      lib.nameValuePair "metric-${name}" {
        description = "Figures of ${name}, regularly";
        wantedBy = [ "timers.target" ];
        timerConfig = {
          OnBootSec = "1min";
          OnUnitActiveSec = metric.every;
        };
      }
    ) cfg.custom;
  };
}
