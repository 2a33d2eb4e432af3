# nftables firewall: everything that comes in is dropped but what a service
# has opened, answers to what went out, and trusted interfaces; everything that
# passes through is dropped but what a module has allowed.
#
# NixOS's own firewall is used rather than a hand-written table: it then agrees
# with every service's `openFirewall`. What else may pass, and what may not even
# then, is in rules.nix.
{ config, lib, ... }:
let
  cfg = config.pantherOS.security.firewall.nftables;
in
{
  options.pantherOS.security.firewall.nftables = {
    enable = lib.mkEnableOption "the nftables firewall";
  };

  config = lib.mkIf cfg.enable {
    networking.nftables.enable = true;
    networking.firewall = {
      enable = true;
      filterForward = true;
      # One line for each refused connection would drown a public server's log;
      # logging.nix writes as many as one can read.
      logRefusedConnections = lib.mkDefault false;
    };
  };
}
