# lib/validation.nix finds what is wrong with a host, and nothing where nothing
# is.
{ standIn, ... }:
let
  inherit (standIn) lib;
  validate = import ../../lib/validation.nix { inherit lib; };

  good = {
    networking.nftables.enable = true;
    security = {
      apparmor.enable = true;
      auditd.enable = true;
    };
    services.openssh = {
      enable = true;
      settings = {
        PermitRootLogin = "no";
        PasswordAuthentication = false;
        KbdInteractiveAuthentication = false;
      };
    };
    boot.kernel.sysctl = {
      "fs.protected_hardlinks" = 1;
      "fs.protected_symlinks" = true;
      "fs.suid_dumpable" = 0;
      "kernel.dmesg_restrict" = "1";
      "kernel.kptr_restrict" = 2;
      "kernel.yama.ptrace_scope" = 1;
    };
  };
  messages =
    change:
    map (p: "${p.check}: ${p.message}") (validate (standIn.system {
      modules = [
        good
        change
      ];
    })).problems;
  finds = change: expected: {
    expr = messages change;
    inherit expected;
  };
in
{
  nothing = finds { } [ ];
  firewallOff = finds { networking.firewall.enable = false; } [
    "security: the firewall is off: networking.firewall.enable is false"
  ];
  rootLogin =
    finds { services.openssh.settings.PermitRootLogin = lib.mkForce "prohibit-password"; }
      [
        "security: root may log in over SSH: services.openssh.settings.PermitRootLogin is not \"no\""
      ];
  passwords = finds { services.openssh.settings.PasswordAuthentication = lib.mkForce true; } [
    "security: SSH accepts passwords: services.openssh.settings.PasswordAuthentication is not false"
  ];
  sshOffIsNoProblem = finds {
    services.openssh.enable = lib.mkForce false;
    services.openssh.settings.PermitRootLogin = lib.mkForce "yes";
  } [ ];
  sshShut = finds { services.openssh.openFirewall = false; } [
    "services: the SSH server listens on port 22, which the firewall does not open"
  ];
  sudoWithoutPassword = finds { security.sudo.wheelNeedsPassword = false; } [
    "security: sudo asks for no password: security.sudo.wheelNeedsPassword is false"
  ];
  appArmorOff = finds { security.apparmor.enable = lib.mkForce false; } [
    "security: AppArmor is off: security.apparmor.enable is false"
  ];
  auditOff = finds { security.auditd.enable = lib.mkForce false; } [
    "security: the audit daemon is off: security.auditd.enable is false"
  ];
  weakSysctl = finds { boot.kernel.sysctl."kernel.kptr_restrict" = lib.mkForce 1; } [
    "security: the sysctl kernel.kptr_restrict is 1, at least 2 is wanted"
  ];
  openDatabase = finds { networking.firewall.allowedTCPPorts = [ 5432 ]; } [
    "security: port 5432 (PostgreSQL) is open to every network"
  ];
  openRange =
    finds { networking.firewall.allowedTCPPortRanges = [ {
      from = 6000;
      to = 7000;
    } ]; }
      [
        "security: port 6379 (Redis) is open to every network"
      ];
  tailscaleShut = finds { services.tailscale.enable = true; } [
    "services: Tailscale is on, but its interface tailscale0 is not in networking.firewall.trustedInterfaces: the other machines reach nothing"
  ];
  nothingToRecord = finds { services.prometheus.enable = true; } [
    "services: Prometheus runs, but there is nothing of this machine to record: services.prometheus.exporters.node is off"
  ];
}
