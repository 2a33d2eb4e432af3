# The log of security events: a journal that survives a restart and has a
# bound, one line for each use of sudo, and who logged in.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.security.audit.security-logging;
in
{
  options.pantherOS.security.audit.security-logging = {
    enable = lib.mkEnableOption "the log of security events";

    maxSize = mkOption {
      type = types.strMatching "[0-9]+[MG]";
      default = "2G";
      example = "500M";
      description = "How much of the disk the journal may take.";
    };

    retention = mkOption {
      type = types.strMatching "[0-9]+(day|week|month|year)";
      default = "6month";
      example = "1year";
      description = "How long it is kept, if it fits.";
    };

    sudoLog = mkOption {
      type = types.strMatching "/.+";
      default = "/var/log/sudo.log";
      example = "/var/log/security/sudo.log";
      description = "File with a line for each command that was run with sudo.";
    };
  };

  config = lib.mkIf cfg.enable {
    services.journald = {
      storage = "persistent";
      # Compressed; not copied to a second logging system, which there is none
      # of. The keys of FSS would lie on the same disk: no sealing.
      extraConfig = ''
        Compress=yes
        ForwardToSyslog=no
        SystemMaxUse=${cfg.maxSize}
        MaxRetentionSec=${cfg.retention}
      '';
    };

    security.sudo.extraConfig = ''
      Defaults logfile=${cfg.sudoLog}
      Defaults log_host, log_year
    '';
    services.logrotate.settings.${cfg.sudoLog} = {
      frequency = "monthly";
      rotate = 12;
      create = "0600 root root";
    };
  };
}
