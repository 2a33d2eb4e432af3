# Names: asked for over TLS at resolvers that refuse known malware, and on
# request not at all for known advertising.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.services.networking.dns;
in
{
  options.pantherOS.services.networking.dns = {
    enable = lib.mkEnableOption "encrypted and filtered name resolution";

    servers = mkOption {
      type = types.nonEmptyListOf types.str;
      default = [
        "9.9.9.9#dns.quad9.net"
        "149.112.112.112#dns.quad9.net"
        "2620:fe::fe#dns.quad9.net"
        "2620:fe::9#dns.quad9.net"
      ];
      example = [ "1.1.1.2#security.cloudflare-dns.com" ];
      description = "Resolvers, each an address and after # the name in its certificate. Quad9's refuse names that spread malware.";
    };

    strict = mkOption {
      type = types.bool;
      default = false;
      description = "Whether an unencrypted answer is never taken. A network that blocks DNS over TLS, as hotels' do, then has no names.";
    };

    blockAdvertising = mkOption {
      type = types.bool;
      default = false;
      description = "Whether names known for advertising and tracking lead nowhere, by a list in /etc/hosts.";
    };
  };

  config = lib.mkIf cfg.enable {
    networking.nameservers = cfg.servers;
    networking.stevenblack.enable = cfg.blockAdvertising;

    services.resolved = {
      enable = true;
    }
    // (
      let
        overTls = if cfg.strict then "true" else "opportunistic";
        # Signed answers are checked where the network lets signatures through.
        dnssec = "allow-downgrade";
        # All names, rather than only what the network's own resolver does not
        # claim; what Tailscale and other tunnels claim still goes to them.
        domains = [ "~." ];
      in
      # NixOS 26.05 turned the options into resolved.conf's own.
      if lib.versionAtLeast lib.trivial.release "26.05" then
        {
          settings.Resolve = {
            DNSOverTLS = overTls;
            DNSSEC = dnssec;
            Domains = domains;
            # None beside those above.
            FallbackDNS = [ ];
            # Answers of any neighbour, unauthenticated.
            LLMNR = false;
          };
        }
      else
        {
          dnsovertls = overTls;
          inherit dnssec domains;
          fallbackDns = [ ];
          llmnr = "false";
        }
    );
  };
}
