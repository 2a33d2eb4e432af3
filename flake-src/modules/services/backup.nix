# Backups: every night to Backblaze B2 by restic, encrypted before they leave.
# Databases are dumped first; old backups are thinned out and what is stored is
# checked.
{
  config,
  lib,
  pkgs,
  features,
  host,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.services.backup;
  secrets = config.pantherOS.security.secrets.opnix;
  haveSecrets = features.opnix && secrets.enable;
  metrics = config.pantherOS.services.monitoring.metrics;
  postgresql = config.services.postgresql.enable;
in
{
  options.pantherOS.services.backup = {
    enable = lib.mkEnableOption "nightly backups to Backblaze B2";

    bucket = mkOption {
      type = types.nullOr (types.strMatching "[A-Za-z0-9-]{6,63}");
      default = null;
      example = "pantheros-backups";
      description = "The B2 bucket. Machines may share one: each has a folder of its own name.";
    };

    at = mkOption {
      type = types.str;
      default = "02:30";
      example = "Sun 04:00";
      description = "When, as systemd writes times; within the hour after it.";
    };

    paths = mkOption {
      type = types.nonEmptyListOf (types.strMatching "/.*");
      default = [
        "/etc"
        "/home"
        "/root"
        "/var/backup"
        "/var/lib"
      ];
      example = [ "/srv" ];
      description = "What to back up. The Nix store is not: it is built again from this repository.";
    };

    exclude = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "/home/*/Videos" ];
      description = "What to leave out, as patterns, beside caches and what is dumped or made again anyway.";
    };

    keep = mkOption {
      type = types.attrsOf types.ints.positive;
      default = {
        daily = 7;
        weekly = 5;
        monthly = 12;
      };
      example = {
        daily = 14;
        yearly = 3;
      };
      description = "How many backups to keep, of the last days, weeks and so on.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = haveSecrets;
        message = "pantherOS.services.backup on ${host.name}: password and key are in the vault; set pantherOS.security.secrets.opnix.enable.";
      }
      {
        assertion = cfg.bucket != null;
        message = "pantherOS.services.backup on ${host.name}: say where to, in pantherOS.services.backup.bucket.";
      }
    ];

    # The password encrypts the backups. It is in the vault alone: a machine that
    # is lost must not take it along.
    pantherOS.security.secrets.opnix = {
      items.backupPassword.services = [ "restic-backups-system" ];
      templates."b2.env".services = [ "restic-backups-system" ];
    };

    services.postgresqlBackup = lib.mkIf postgresql {
      enable = true;
      compression = "zstd";
      # Not by a clock of its own: right before the backup.
      startAt = [ ];
    };

    services.restic.backups.system = lib.mkIf haveSecrets {
      initialize = true;
      repository = "b2:${toString cfg.bucket}:${host.name}";
      passwordFile = secrets.paths.backupPassword;
      environmentFile = secrets.environmentFiles."b2.env";
      inherit (cfg) paths;
      exclude = [
        # Restored, the machine gets a token of its own.
        secrets.tokenFile
        "/home/*/.cache"
        "/root/.cache"
        "/var/lib/containers/storage"
        "/var/lib/postgresql"
        "/var/lib/private/atticd"
        "/var/lib/prometheus2"
        "/var/lib/systemd/coredump"
      ]
      ++ cfg.exclude;
      extraBackupArgs = [
        "--exclude-caches"
        "--one-file-system"
      ];
      timerConfig = {
        OnCalendar = cfg.at;
        RandomizedDelaySec = "1h";
        # A machine that was off catches up.
        Persistent = true;
      };
      pruneOpts = lib.mapAttrsToList (period: count: "--keep-${period} ${toString count}") cfg.keep;
      # A twentieth of the data is read back each time.
      runCheck = true;
      checkOpts = [ "--read-data-subset=5%" ];
    };

    systemd.services.restic-backups-system = lib.mkIf haveSecrets {
      # A dump that fails is no reason to save nothing.
      wants = lib.optional postgresql "postgresqlBackup.service";
      after = lib.optional postgresql "postgresqlBackup.service";
      # Reached when backup, thinning and check have all gone well.
      serviceConfig.ExecStartPost = lib.mkIf metrics.enable [
        (pkgs.writeShellScript "backup-metric" ''
          set -eu
          echo "pantheros_backup_last_success_seconds $(date +%s)" >${metrics.directory}/.backup.new
          mv ${metrics.directory}/.backup.new ${metrics.directory}/backup.prom
        '')
      ];
    };

    pantherOS.services.monitoring.alerting.rules = {
      BackupTooOld = {
        expr = "time() - pantheros_backup_last_success_seconds > 36 * 3600";
        severity = "critical";
        summary = "the last good backup was {{ $value | humanizeDuration }} ago";
      };
      BackupNever = {
        expr = "absent(pantheros_backup_last_success_seconds)";
        lasting = "36h";
        severity = "critical";
        summary = "no backup has ever succeeded";
      };
    };
  };
}
