# Kernel hardening: sysctls, modules that nobody here needs, AppArmor.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.security.hardening.kernel;

  # Stronger than NixOS's own defaults (1000), weaker than a host's plain
  # definition (100): a host overrides a value without mkForce.
  values = lib.mapAttrs (_: lib.mkOverride 900);

  blocked = cfg.blockedModules ++ lib.optional (!cfg.usbStorage) "usb-storage";

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

    # Protocols and file systems with a history of holes and no use here.
    blockedModules = mkOption {
      type = types.listOf (types.strMatching "[A-Za-z0-9_-]+");
      default = [
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
      example = [ "sctp" ];
      description = "Kernel modules that are never loaded.";
    };

    usbStorage = mkOption {
      type = types.bool;
      default = true;
      example = false;
      description = "Whether USB disks may be used.";
    };

    protectImage = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether the running kernel cannot be replaced: no kexec, and no hibernation.";
    };
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
        "kernel.perf_event_paranoid" = 2;
        # Line disciplines of old modems, loadable by anybody otherwise.
        "dev.tty.ldisc_autoload" = 0;
        "net.core.bpf_jit_harden" = 2;

        # Core dumps of setuid programs; links and files in shared folders.
        "fs.suid_dumpable" = 0;
        "kernel.core_pattern" = "|${pkgs.coreutils}/bin/false";
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

    # A blacklisted module is not loaded for a device, but still on request; so
    # what loads it is replaced as well.
    boot.blacklistedKernelModules = blocked;
    boot.extraModprobeConfig = lib.concatMapStrings (
      module: "install ${module} ${pkgs.coreutils}/bin/false\n"
    ) blocked;

    # Programs share memory there; nobody starts one from it.
    boot.specialFileSystems."/dev/shm".options = [ "noexec" ];
    # Memory instead of the disk, so nodev and nosuid, and empty after a boot.
    # Nix builds in its own folder: what it builds may be larger than memory.
    boot.tmp.useTmpfs = lib.mkDefault true;

    # Dumps have keys and passwords in them. Programs write none, and systemd
    # keeps none of what services leave.
    systemd.coredump.enable = lib.mkDefault false;
    security.pam.loginLimits = [
      {
        domain = "*";
        type = "hard";
        item = "core";
        value = "0";
      }
    ];

    security.protectKernelImage = lib.mkIf cfg.protectImage true;
    security.apparmor.enable = true;
  };
}
