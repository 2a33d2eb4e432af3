# The Linux audit daemon: who changed accounts, privileges, time, modules, and
# how much of it is kept.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  both = rule: map (arch: "-a always,exit -F arch=${arch} ${rule}") [
    "b64"
    "b32"
  ];
  settings = {
    # A full set of logs pushes out the oldest; a full disk stops no service.
    max_log_file = cfg.logSize;
    num_logs = cfg.logs;
    max_log_file_action = "rotate";
    space_left = 200;
    space_left_action = "syslog";
    admin_space_left = 100;
    admin_space_left_action = "syslog";
    disk_full_action = "syslog";
    disk_error_action = "syslog";
    log_group = "root";
  };
  cfg = config.pantherOS.security.audit.auditd;
in
{
  options.pantherOS.security.audit.auditd = {
    enable = lib.mkEnableOption "the audit daemon";

    rules = mkOption {
      type = types.listOf types.str;
      # NixOS keeps these files, or what they point to, in /etc; a syscall rule
      # for both word sizes each, lest a 32-bit program go unseen.
      default = [
        "-w /etc/passwd -p wa -k identity"
        "-w /etc/shadow -p wa -k identity"
        "-w /etc/group -p wa -k identity"
        "-w /etc/sudoers -p wa -k privilege"
        "-w /var/log/lastlog -p wa -k logins"
        "-w /var/log/sudo.log -p wa -k privilege"
      ]
      ++ both "-S adjtimex,settimeofday,clock_settime -k time"
      ++ both "-S init_module,finit_module,delete_module -k modules"
      ++ both "-S sethostname,setdomainname -k network"
      # Programs that ran with other rights than those of who started them; the
      # account is 4294967295 where nobody logged in.
      ++ both "-S execve -C uid!=euid -F euid=0 -F auid>=1000 -F auid!=4294967295 -k setuid"
      ++ both "-S mount,umount2 -F auid>=1000 -F auid!=4294967295 -k mounts";
      example = [ "-w /srv/keys -p rwa -k keys" ];
      description = "Rules in auditctl's syntax.";
    };

    logSize = mkOption {
      type = types.ints.positive;
      default = 32;
      example = 8;
      description = "Size of a log file in MiB before the next is begun.";
    };

    logs = mkOption {
      type = types.ints.between 2 999;
      default = 8;
      example = 99;
      description = "How many log files are kept.";
    };

    immutable = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether the rules cannot be changed until the next boot, by a switch neither.";
    };
  };

  config = lib.mkIf cfg.enable (
    lib.mkMerge [
      {
        security.auditd.enable = true;
        security.audit = {
          enable = if cfg.immutable then "lock" else true;
          inherit (cfg) rules;
          # What happens in bursts, while booting say, waits rather than gets lost.
          backlogLimit = lib.mkDefault 8192;
        };
      }

      # NixOS has an option for auditd.conf since 25.11; before that the daemon
      # reads the same file if there is one.
      (
        if lib.versionAtLeast lib.trivial.release "25.11" then
          { security.auditd = { inherit settings; }; }
        else
          {
            environment.etc."audit/auditd.conf" = {
              mode = "0640";
              text = lib.concatLines (lib.mapAttrsToList (name: value: "${name} = ${toString value}") settings);
            };
          }
      )
    ]
  );
}
