# The Linux audit daemon: who changed accounts, privileges, time, modules.
{ config, lib, ... }:
let
  cfg = config.pantherOS.security.audit.auditd;
in
{
  options.pantherOS.security.audit.auditd = {
    enable = lib.mkEnableOption "the audit daemon";

    rules = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      # NixOS keeps these files, or what they point to, in /etc; a syscall rule
      # for both word sizes each, lest a 32-bit program go unseen.
      default = [
        "-w /etc/passwd -p wa -k identity"
        "-w /etc/shadow -p wa -k identity"
        "-w /etc/group -p wa -k identity"
        "-w /etc/sudoers -p wa -k privilege"
        "-w /var/log/lastlog -p wa -k logins"
        "-a always,exit -F arch=b64 -S adjtimex,settimeofday,clock_settime -k time"
        "-a always,exit -F arch=b32 -S adjtimex,settimeofday,clock_settime -k time"
        "-a always,exit -F arch=b64 -S init_module,finit_module,delete_module -k modules"
        "-a always,exit -F arch=b32 -S init_module,finit_module,delete_module -k modules"
      ];
      description = "Rules in auditctl's syntax.";
    };
  };

  config = lib.mkIf cfg.enable {
    security.auditd.enable = true;
    security.audit = {
      enable = true;
      inherit (cfg) rules;
    };
  };
}
