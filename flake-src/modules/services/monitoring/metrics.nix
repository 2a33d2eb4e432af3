# Metrics: Prometheus with the machine's own figures. Nothing of it is open to
# a network; over Tailscale, whose interface is trusted, one can look.
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
      description = "How long figures are kept.";
    };

    interval = mkOption {
      type = types.strMatching "[0-9]+[sm]";
      default = "30s";
      description = "How often they are taken.";
    };
  };

  config = lib.mkIf cfg.enable {
    services.prometheus = {
      enable = true;
      retentionTime = cfg.retention;
      globalConfig.scrape_interval = cfg.interval;

      exporters.node = {
        enable = true;
        enabledCollectors = [ "systemd" ];
        listenAddress = "127.0.0.1";
      };

      scrapeConfigs = [
        {
          job_name = "node";
          static_configs = [ { targets = [ "127.0.0.1:${toString node.port}" ]; } ];
        }
      ];
    };
  };
}
