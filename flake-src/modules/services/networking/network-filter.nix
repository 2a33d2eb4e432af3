# What may go out, which the firewall does not ask (network filtering); and
# queues that keep latency low under load (QoS).
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.services.networking.network-filter;

  isV6 = lib.hasInfix ":";
  set = elements: "{ ${lib.concatMapStringsSep ", " toString elements} }";
  refuse =
    family: networks:
    lib.optionalString (networks != [ ]) "${family} daddr ${set networks} counter reject";
in
{
  options.pantherOS.services.networking.network-filter = {
    enable = lib.mkEnableOption "the filter of outgoing traffic, and fair queueing";

    blockedNetworks = mkOption {
      type = types.listOf (types.strMatching "[0-9a-fA-F.:]+(/[0-9]+)?");
      default = [ ];
      example = [
        "198.51.100.0/24"
        "2001:db8::/32"
      ];
      description = "Networks that nothing on this machine may speak to.";
    };

    localPorts = mkOption {
      type = types.listOf types.port;
      # Mail between servers, which only spam sends from here, and Windows file
      # shares, which tell strangers names and password hashes.
      default = [
        25
        139
        445
      ];
      example = [ 25 ];
      description = "TCP ports that are spoken to in private networks alone, never on the internet.";
    };

    queue = mkOption {
      type = types.enum [
        "cake"
        "fq"
        "fq_codel"
      ];
      default = "cake";
      description = "How packets queue on an interface: cake shares a slow line fairly, fq costs the least on a fast one.";
    };
  };

  config = lib.mkIf cfg.enable {
    networking.nftables = {
      enable = true;
      tables.panther-egress = {
        family = "inet";
        content = ''
          chain egress {
            ${refuse "ip" (lib.filter (n: !isV6 n) cfg.blockedNetworks)}
            ${refuse "ip6" (lib.filter isV6 cfg.blockedNetworks)}
            # Private, link-local and Tailscale's own addresses.
            ip daddr { 10.0.0.0/8, 100.64.0.0/10, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16 } accept
            ip6 daddr { fc00::/7, fe80::/10 } accept
            ${lib.optionalString (
              cfg.localPorts != [ ]
            ) "tcp dport ${set cfg.localPorts} counter reject with tcp reset"}
          }

          chain output {
            type filter hook output priority filter; policy accept;
            oifname "lo" accept
            jump egress
          }

          # Containers and whoever is routed through here.
          chain forward {
            type filter hook forward priority filter - 10; policy accept;
            jump egress
          }
        '';
      };
    };

    # BBR keeps a connection fast over a lossy line.
    boot.kernelModules = [
      "sch_${cfg.queue}"
      "tcp_bbr"
    ];
    boot.kernel.sysctl = {
      "net.core.default_qdisc" = cfg.queue;
      "net.ipv4.tcp_congestion_control" = "bbr";
    };
  };
}
