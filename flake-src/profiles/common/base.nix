# Every machine: accounts, disks, memory, boot, firewall, hardening, secrets,
# the private network.
{ lib, ... }:
let
  on = lib.mkDefault true;
in
{
  pantherOS = {
    base = {
      boot-loader.enable = on;
      file-systems.enable = on;
      swap-memory.enable = on;
      users-groups = {
        enable = on;
        admins = lib.mkDefault [ "hayden" ];
      };
    };
    security = {
      audit = {
        auditd.enable = on;
        intrusion-detection.enable = on;
        security-logging.enable = on;
      };
      firewall = {
        logging.enable = on;
        nftables.enable = on;
        rules.enable = on;
      };
      hardening = {
        kernel.enable = on;
        service-hardening.enable = on;
        user-security.enable = on;
      };
      secrets.opnix.enable = on;
    };
    services = {
      cache.local-cache.enable = on;
      networking = {
        dns.enable = on;
        network-filter.enable = on;
        tailscale.enable = on;
      };
    };
  };

  nix.settings = {
    experimental-features = lib.mkDefault [
      "nix-command"
      "flakes"
    ];
    # As many builds as there are cores, each with all of them (0).
    max-jobs = lib.mkDefault "auto";
    cores = lib.mkDefault 0;
  };
}
