# Alerts: rules on the machine's own figures, and who is told. What is critical
# is repeated until it is dealt with; what is not comes once a day.
{
  config,
  lib,
  features,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.services.monitoring.alerting;
  metrics = config.pantherOS.services.monitoring.metrics;
  secrets = config.pantherOS.security.secrets.opnix;
  haveSecrets = features.opnix && secrets.enable;
  alertmanager = config.services.prometheus.alertmanager;

  severities = [
    "critical"
    "warning"
  ];
  addressed = lib.filter (severity: cfg.webhookItems ? ${severity}) severities;
  secretOf = severity: "alertWebhook" + { critical = "Critical"; warning = "Warning"; }.${severity};

  rules = lib.mapAttrsToList (name: rule: {
    alert = name;
    inherit (rule) expr;
    for = rule.lasting;
    labels = { inherit (rule) severity; };
    annotations = { inherit (rule) summary; };
  }) cfg.rules;
in
{
  options.pantherOS.services.monitoring.alerting = {
    enable = lib.mkEnableOption "alerts on the machine's figures";

    webhookItems = mkOption {
      type = types.attrsOf types.str;
      default = { };
      example = {
        critical = "services/alerting/criticalUrl";
      };
      description = "For each severity (critical, warning) where in the vault (one of secrets/map.nix) the address is that is told by an HTTP POST. One without is shown by Alertmanager alone, on port 9093 over Tailscale.";
    };

    rules = mkOption {
      description = "The rules; modules add those of their service.";
      default = { };
      example = lib.literalExpression ''
        {
          TooHot = {
            expr = "node_hwmon_temp_celsius > 95";
            lasting = "5m";
            severity = "warning";
            summary = "{{ $labels.chip }} is at {{ $value }} degrees";
          };
        }
      '';
      type = types.attrsOf (
        types.submodule {
          options = {
            expr = mkOption {
              type = types.str;
              description = "What Prometheus looks for.";
            };
            lasting = mkOption {
              type = types.strMatching "[0-9]+[smhd]";
              default = "5m";
              description = "How long it must have been so.";
            };
            severity = mkOption {
              type = types.enum severities;
              description = "How urgent it is.";
            };
            summary = mkOption {
              type = types.str;
              description = "What the reader is told.";
            };
          };
        }
      );
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = metrics.enable;
        message = "pantherOS.services.monitoring.alerting looks at Prometheus's figures: set pantherOS.services.monitoring.metrics.enable.";
      }
      {
        assertion = addressed == [ ] || haveSecrets;
        message = "pantherOS.services.monitoring.alerting.webhookItems are in the vault: set pantherOS.security.secrets.opnix.enable.";
      }
      {
        assertion = lib.all (s: lib.elem s severities) (lib.attrNames cfg.webhookItems);
        message = "pantherOS.services.monitoring.alerting.webhookItems: there are the severities ${lib.concatStringsSep " and " severities}.";
      }
    ];

    pantherOS.services.monitoring.alerting.rules = {
      TargetDown = {
        expr = "up == 0";
        severity = "critical";
        summary = "{{ $labels.job }} at {{ $labels.instance }} gives no figures";
      };
      UnitFailed = {
        expr = ''node_systemd_unit_state{state="failed"} == 1'';
        severity = "warning";
        summary = "the unit {{ $labels.name }} has failed";
      };
      DiskAlmostFull = {
        expr = ''node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs"} / node_filesystem_size_bytes < 0.15'';
        lasting = "15m";
        severity = "warning";
        summary = "{{ $labels.mountpoint }} has {{ $value | humanizePercentage }} left";
      };
      DiskFull = {
        expr = ''node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs"} / node_filesystem_size_bytes < 0.05'';
        severity = "critical";
        summary = "{{ $labels.mountpoint }} has {{ $value | humanizePercentage }} left";
      };
      MemoryLow = {
        expr = "node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes < 0.1";
        lasting = "10m";
        severity = "warning";
        summary = "{{ $value | humanizePercentage }} of the memory is left";
      };
      ClockOff = {
        expr = "node_timex_sync_status == 0";
        lasting = "30m";
        severity = "warning";
        summary = "the clock is not synchronised";
      };
      RebootWanted = {
        expr = "pantheros_reboot_wanted == 1";
        lasting = "7d";
        severity = "warning";
        summary = "the running kernel is older than the system's";
      };
    };

    pantherOS.security.secrets.opnix.items = lib.listToAttrs (
      map (
        severity:
        lib.nameValuePair (secretOf severity) {
          item = cfg.webhookItems.${severity};
          services = [ "alertmanager" ];
        }
      ) addressed
    );

    services.prometheus = {
      rules = [
        (builtins.toJSON {
          groups = [
            {
              name = "pantherOS";
              inherit rules;
            }
          ];
        })
      ];

      alertmanagers = [
        { static_configs = [ { targets = [ "127.0.0.1:${toString alertmanager.port}" ]; } ]; }
      ];

      alertmanager = {
        enable = true;
        # One machine, so no cluster and no port for it.
        extraFlags = [ "--cluster.listen-address=" ];
        configuration = {
          route = {
            receiver = "warning";
            group_by = [ "alertname" ];
            group_wait = "1m";
            repeat_interval = "24h";
            routes = [
              {
                matchers = [ ''severity="critical"'' ];
                receiver = "critical";
                group_wait = "10s";
                repeat_interval = "1h";
              }
            ];
          };
          # A full disk is also almost full: one of the two is enough.
          inhibit_rules = [
            {
              source_matchers = [ ''alertname="DiskFull"'' ];
              target_matchers = [ ''alertname="DiskAlmostFull"'' ];
              equal = [ "mountpoint" ];
            }
          ];
          receivers = map (
            severity:
            {
              name = severity;
            }
            // lib.optionalAttrs (lib.elem severity addressed) {
              webhook_configs = [ { url_file = "/run/credentials/alertmanager.service/${severity}"; } ];
            }
          ) severities;
        };
      };
    };

    # Its account exists only while it runs, so systemd hands it the addresses.
    systemd.services.alertmanager.serviceConfig.LoadCredential = lib.mkIf haveSecrets (
      map (severity: "${severity}:${secrets.paths.${secretOf severity}}") addressed
    );
  };
}
