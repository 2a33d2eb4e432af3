# Kernel hardening: sysctls, modules that nobody here needs, AppArmor.
{ config, lib, ... }:
let
  cfg = config.pantherOS.security.hardening.kernel;

  # Stronger than NixOS's own defaults (1000), weaker than a host's plain
  # definition (100): a host overrides a value without mkForce.
  values = lib.mapAttrs (_: lib.mkOverride 900);

  everyInterface =
    family: settings:
    lib.concatMapAttrs (name: value: {
      "net.${family}.conf.all.${name}" = value;
      "net.${family}.conf.default.${name}" = value;
    }) settings;
in
{
  options.pantherOS.security.hardening.kernel = {
    enable = lib.mkEnableOption "kernel hardening";
  };

  config = lib.mkIf cfg.enable {
    boot.kernel.sysctl = values (
      {
        # What the kernel tells about itself, and to whom.
        "kernel.dmesg_restrict" = 1;
        "kernel.kptr_restrict" = 2;
        "kernel.yama.ptrace_scope" = 1;
        "kernel.unprivileged_bpf_disabled" = 1;
        "kernel.randomize_va_space" = 2;
        "net.core.bpf_jit_harden" = 2;

        # Core dumps of setuid programs; links and files in shared folders.
        "fs.suid_dumpable" = 0;
        "fs.protected_hardlinks" = 1;
        "fs.protected_symlinks" = 1;
        "fs.protected_fifos" = 2;
        "fs.protected_regular" = 2;

        "net.ipv4.tcp_syncookies" = 1;
        "net.ipv4.icmp_echo_ignore_broadcasts" = 1;
        "net.ipv4.icmp_ignore_bogus_error_responses" = 1;
      }
      // everyInterface "ipv4" {
        accept_redirects = 0;
        secure_redirects = 0;
        send_redirects = 0;
        accept_source_route = 0;
        log_martians = 1;
      }
      // everyInterface "ipv6" {
        accept_redirects = 0;
        accept_source_route = 0;
      }
    );

    # Protocols and file systems with a history of holes and no use here.
    boot.blacklistedKernelModules = [
      "cramfs"
      "dccp"
      "freevxfs"
      "hfs"
      "hfsplus"
      "jffs2"
      "rds"
      "sctp"
      "tipc"
    ];

    security.apparmor.enable = true;
  };
}
