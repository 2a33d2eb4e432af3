# The brief's maintenance schedule: what is looked at daily, weekly and monthly,
# as one command and a timer each. What is wrong ends in a failed unit, which the
# alerts see. Updates are a commit and a switch, see docs/workflows.md.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.pantherOS.services.maintenance;
  inherit (config.pantherOS.services) backup;
  prometheus = config.services.prometheus.enable;
  auditd = config.security.auditd.enable;
  fwupd = config.services.fwupd.enable;

  command = pkgs.writeShellScriptBin "panther-maintenance" ''
    set -u
    bad=0
    wrong() {
      echo "$1" >&2
      bad=1
    }

    daily() {
      failed=$(systemctl list-units --failed --plain --no-legend | cut -d ' ' -f 1 | grep -v '^panther-maintenance' | tr '\n' ' ' || true)
      [ -z "$failed" ] || wrong "failed units: $failed"
      echo "errors in the journal since yesterday: $(journalctl --quiet --since yesterday --priority err | wc -l)"
      ${lib.optionalString backup.enable ''
        last=$(systemctl show --property ExecMainStartTimestamp --value restic-backups-system.service)
        systemctl show --property Result --value restic-backups-system.service | grep -qx success ||
          wrong "the last backup (''${last:-never}) has failed: journalctl -u restic-backups-system"
      ''}
    }

    weekly() {
      systemd-tmpfiles --clean
      df -h --local --exclude-type tmpfs --exclude-type devtmpfs
      full=$(df --local --output=pcent,target | tail -n +2 | while read -r percent target; do
        # What has no size has "-" here.
        case $percent in
          8[5-9]% | 9?% | 100%) printf '%s ' "$target" ;;
        esac
      done)
      [ -z "$full" ] || wrong "more than 85% full: $full"
      ${lib.optionalString prometheus ''
        ${lib.getExe pkgs.curl} -sf http://127.0.0.1:${toString config.services.prometheus.port}/-/healthy >/dev/null ||
          wrong "Prometheus does not answer"
      ''}
      ${lib.optionalString auditd "${lib.getExe' pkgs.audit "aureport"} --start week-ago --failed --summary || true"}
    }

    monthly() {
      nix-store --verify || wrong "the store's database is damaged: nix-store --verify --repair"
      nix-env --profile /nix/var/nix/profiles/system --list-generations | tail -n 5
      ${lib.optionalString fwupd ''
        fwupdmgr get-updates --no-unreported-check || true
      ''}
      systemd-analyze security --no-pager | head -n 20
    }

    case "''${1-}" in
      daily | weekly | monthly) "$1" ;;
      *)
        echo "usage: panther-maintenance daily|weekly|monthly" >&2
        exit 2
        ;;
    esac
    exit "$bad"
  '';
in
{
  options.pantherOS.services.maintenance.enable =
    lib.mkEnableOption "the maintenance schedule: `panther-maintenance daily|weekly|monthly`, and a timer for each";

  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ command ];

    systemd.services =
      lib.genAttrs
        (map (period: "panther-maintenance-${period}") [
          "daily"
          "weekly"
          "monthly"
        ])
        (
          unit:
          let
            period = lib.removePrefix "panther-maintenance-" unit;
          in
          {
            description = "Maintenance, ${period}";
            startAt = period;
            path = [ config.nix.package ] ++ lib.optional fwupd pkgs.fwupd;
            serviceConfig = {
              Type = "oneshot";
              ExecStart = "${lib.getExe' command "panther-maintenance"} ${period}";
              Nice = 10;
              PrivateTmp = false;
              ProtectHome = true;
              NoNewPrivileges = true;
            };
          }
        );
  };
}
