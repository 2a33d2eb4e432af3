# Logs gathered on one machine of the fleet. The way there is Tailscale, which
# encrypts it and lets nobody else in. How much each machine keeps of its own is
# security/audit/security-logging's.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.services.monitoring.logging;
  inherit (import ../../../lib/inventory.nix) hosts;
in
{
  options.pantherOS.services.monitoring.logging = {
    enable = lib.mkEnableOption "the collection of logs on one machine";

    collector = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "ovh-cloud-vps";
      description = "The host of hosts.toml that this machine sends its logs to.";
    };

    receive = mkOption {
      type = types.bool;
      default = false;
      description = "Whether other machines send their logs here.";
    };

    maxSize = mkOption {
      type = types.strMatching "[0-9]+[MG]";
      default = "4G";
      example = "20G";
      description = "How much disk the logs that are received may take.";
    };

    port = mkOption {
      type = types.port;
      default = 19532;
      example = 19533;
      description = "Port of the collector; not opened in the firewall, as Tailscale's interface is trusted.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.collector != null || cfg.receive;
        message = "pantherOS.services.monitoring.logging: say where logs go, in collector, or that they come here, with receive.";
      }
      {
        assertion = cfg.collector == null || hosts ? ${cfg.collector};
        message = "pantherOS.services.monitoring.logging.collector: hosts.toml has no host ${toString cfg.collector}; its hosts are ${lib.concatStringsSep ", " (lib.attrNames hosts)}.";
      }
      {
        assertion = config.pantherOS.services.networking.tailscale.enable;
        message = "pantherOS.services.monitoring.logging: logs travel over Tailscale alone; set pantherOS.services.networking.tailscale.enable.";
      }
    ];

    services.journald = {
      upload = lib.mkIf (cfg.collector != null) {
        enable = true;
        settings.Upload.URL = "http://${toString cfg.collector}:${toString cfg.port}";
      };

      remote = lib.mkIf cfg.receive (
        {
          enable = true;
          inherit (cfg) port;
          settings.Remote = {
            SplitMode = "host";
            MaxUse = cfg.maxSize;
          };
        }
        # Later releases know no other way.
        // lib.optionalAttrs (lib.versionOlder lib.trivial.release "26.05") { listen = "http"; }
      );
    };

    # A laptop is often out of reach: a try every 3 seconds, the default, would
    # fill the very logs that are to be sent, and then be given up.
    systemd.services.systemd-journal-upload = lib.mkIf (cfg.collector != null) {
      after = [ "tailscaled.service" ];
      startLimitIntervalSec = 0;
      serviceConfig.RestartSec = lib.mkForce "5min";
    };
  };
}
