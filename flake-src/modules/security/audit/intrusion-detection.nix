# Intrusion detection: addresses that try passwords or keys are shut out, and
# files that nobody should change are compared every day. The Nix store is
# compared with the hashes that Nix has, the rest with AIDE.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.security.audit.intrusion-detection;

  state = "/var/lib/file-integrity";
  # Contents, mode, owner, links; files in /etc that are links into the store
  # change with each generation, and the store is checked by itself.
  aideConfig = pkgs.writeText "aide.conf" ''
    database_in=file:${state}/aide.db
    database_out=file:${state}/aide.db.new
    gzip_dbout=no
    log_level=warning
    report_url=stdout
    ${lib.concatMapStrings (path: "!${lib.escapeRegex path}\n") cfg.exclude}
    ${lib.concatMapStrings (path: "${lib.escapeRegex path} p+u+g+n+s+sha256\n") cfg.paths}
  '';
in
{
  options.pantherOS.security.audit.intrusion-detection = {
    enable = lib.mkEnableOption "intrusion detection";

    maxRetry = mkOption {
      type = types.ints.positive;
      default = 5;
      example = 3;
      description = "After how many failed logins an address is shut out.";
    };

    banTime = mkOption {
      type = types.strMatching "[0-9]+[mhd]";
      default = "1h";
      example = "10m";
      description = "For how long; each further time it is doubled, up to a week.";
    };

    ignore = mkOption {
      type = types.listOf types.str;
      # Tailscale's own range: who is in it has been let in already.
      default = [
        "100.64.0.0/10"
        "fd7a:115c:a1e0::/48"
      ];
      example = [ "192.0.2.7" ];
      description = "Addresses that are never shut out.";
    };

    paths = mkOption {
      type = types.listOf (types.strMatching "/.*");
      default = [
        "/boot"
        "/etc/group"
        "/etc/passwd"
        "/etc/shadow"
        "/etc/ssh"
        "/etc/sudoers"
        "/root"
      ];
      example = [ "/srv/keys" ];
      description = "What is compared, folders with all that is in them.";
    };

    exclude = mkOption {
      type = types.listOf (types.strMatching "/.*");
      default = [
        "/root/.cache"
        "/root/.local/state"
      ];
      example = [ "/root/.cache" ];
      description = "What is left out of it.";
    };

    schedule = mkOption {
      type = types.str;
      default = "daily";
      example = "*-*-* 04:00:00";
      description = "When, as systemd's calendar has it.";
    };
  };

  config = lib.mkIf cfg.enable {
    services.fail2ban = lib.mkIf config.services.openssh.enable {
      enable = true;
      maxretry = cfg.maxRetry;
      bantime = cfg.banTime;
      ignoreIP = cfg.ignore;
      bantime-increment = {
        enable = true;
        maxtime = "168h";
      };
      # A server that shows its keys is scanned by programs that never get as
      # far as a password.
      jails.sshd.settings.mode = "aggressive";
    };

    environment.systemPackages = [ pkgs.aide ];

    systemd.services.file-integrity = {
      description = "Compare files with what they were";
      startAt = cfg.schedule;
      path = [ config.nix.package ];
      # The unit sees the store read-only: the daemon compares.
      environment.NIX_REMOTE = "daemon";
      # A difference makes the unit fail, once: then the new state is the one
      # to compare with. The report is in the journal.
      script = ''
        status=0
        nix-store --verify --check-contents || status=1
        if [ -e ${state}/aide.db ]; then
          ${pkgs.aide}/bin/aide --config ${aideConfig} --update || status=1
        else
          ${pkgs.aide}/bin/aide --config ${aideConfig} --init || status=1
        fi
        [ ! -e ${state}/aide.db.new ] || mv ${state}/aide.db.new ${state}/aide.db
        exit $status
      '';
      serviceConfig = {
        Type = "oneshot";
        StateDirectory = "file-integrity";
        StateDirectoryMode = "0700";
        UMask = "0077";
        Nice = 19;
        IOSchedulingClass = "idle";
        PrivateNetwork = true;
        PrivateTmp = true;
        ProtectHome = "read-only";
        ProtectSystem = "strict";
        ProtectKernelModules = true;
        ProtectKernelTunables = true;
        ProtectControlGroups = true;
        NoNewPrivileges = true;
      };
    };
    systemd.timers.file-integrity.timerConfig = {
      Persistent = true;
      RandomizedDelaySec = "1h";
    };
  };
}
