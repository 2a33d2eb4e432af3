# nftables firewall: everything that comes in is dropped but what a service
# has opened, answers to what went out, and trusted interfaces; everything that
# passes through is dropped but what a module has allowed.
#
# NixOS's own firewall is used rather than a hand-written table: it then agrees
# with every service's `openFirewall`.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.security.firewall.nftables;
  ports = mkOption {
    type = types.listOf types.port;
    default = [ ];
    description = "Ports open to every network, beyond those that services open themselves.";
  };
in
{
  options.pantherOS.security.firewall.nftables = {
    enable = lib.mkEnableOption "the nftables firewall";
    tcpPorts = ports;
    udpPorts = ports;
    allowPing = mkOption {
      type = types.bool;
      default = true;
      description = "Whether to answer pings.";
    };
  };

  config = lib.mkIf cfg.enable {
    networking.nftables.enable = true;
    networking.firewall = {
      enable = true;
      inherit (cfg) allowPing;
      allowedTCPPorts = cfg.tcpPorts;
      allowedUDPPorts = cfg.udpPorts;
      filterForward = true;
      # One line for each refused connection would drown a public server's log.
      logRefusedConnections = lib.mkDefault false;
    };
  };
}
