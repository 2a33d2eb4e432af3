# Rules and policies of the firewall: who else may reach what, and what is
# dropped whoever has opened the port.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.security.firewall.rules;
  ssh = config.services.openssh;

  ports =
    protocol:
    mkOption {
      type = types.listOf types.port;
      default = [ ];
      example = [ 8443 ];
      description = "${protocol} ports that the rule opens.";
    };
  set = elements: "{ ${lib.concatMapStringsSep ", " toString elements} }";
  quoted = elements: set (map (e: "\"${e}\"") elements);

  # An allow rule as nftables has it: one line for each protocol, and for each
  # family of the sources.
  lines =
    name: rule:
    let
      interfaces = lib.optionalString (rule.interfaces != [ ]) "iifname ${quoted rule.interfaces} ";
      isV6 = lib.hasInfix ":";
      sources =
        if rule.sources == [ ] then
          [ "" ]
        else
          lib.concatLists (
            lib.mapAttrsToList (family: from: lib.optional (from != [ ]) "${family} saddr ${set from} ") {
              ip = lib.filter (s: !isV6 s) rule.sources;
              ip6 = lib.filter isV6 rule.sources;
            }
          );
      protocols = lib.filterAttrs (_: opened: opened != [ ]) {
        tcp = rule.tcpPorts;
        udp = rule.udpPorts;
      };
    in
    lib.concatMapStrings (
      source:
      lib.concatStrings (
        lib.mapAttrsToList (
          protocol: opened:
          "${interfaces}${source}${protocol} dport ${set opened} accept comment \"${name}\"\n"
        ) protocols
      )
    ) sources;
in
{
  options.pantherOS.security.firewall.rules = {
    enable = lib.mkEnableOption "the firewall's rules and policies";

    allow = mkOption {
      default = { };
      example = {
        web.tcpPorts = [ 443 ];
        printer = {
          udpPorts = [ 5353 ];
          interfaces = [ "wlan0" ];
        };
      };
      description = "What may come in beyond what services open themselves, by a name for the rule.";
      type = types.attrsOf (
        types.submodule {
          options = {
            tcpPorts = ports "TCP";
            udpPorts = ports "UDP";
            interfaces = mkOption {
              type = types.listOf (types.strMatching "[A-Za-z0-9_.-]{1,15}");
              default = [ ];
              example = [ "eth0" ];
              description = "On which interfaces; none named: on all.";
            };
            sources = mkOption {
              type = types.listOf (types.strMatching "[0-9a-fA-F.:]+(/[0-9]+)?");
              default = [ ];
              example = [ "192.0.2.0/24" ];
              description = "From which addresses or networks; none named: from everywhere.";
            };
          };
        }
      );
    };

    deny = mkOption {
      type = types.listOf (types.strMatching "[0-9a-fA-F.:]+(/[0-9]+)?");
      default = [ ];
      example = [ "198.51.100.0/24" ];
      description = "Addresses and networks from which nothing is taken.";
    };

    ping = mkOption {
      type = types.bool;
      default = true;
      example = false;
      description = "Whether to answer pings, a few in a second.";
    };

    sshPerMinute = mkOption {
      type = types.nullOr types.ints.positive;
      default = 10;
      example = null;
      description = "How many new connections a minute the SSH server takes from one address; null for any number.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = config.networking.nftables.enable && config.networking.firewall.enable;
        message = "pantherOS.security.firewall.rules are nftables rules: set pantherOS.security.firewall.nftables.enable.";
      }
    ]
    ++ lib.mapAttrsToList (name: rule: {
      assertion = rule.tcpPorts != [ ] || rule.udpPorts != [ ];
      message = "pantherOS.security.firewall.rules.allow.${name} opens nothing: give it tcpPorts or udpPorts.";
    }) cfg.allow;

    networking.firewall = {
      allowPing = cfg.ping;
      pingLimit = lib.mkIf cfg.ping "5/second";
      extraInputRules = lib.concatStrings (lib.mapAttrsToList lines cfg.allow);
    };

    # A table of its own, which is asked before NixOS's: there the services'
    # ports are accepted first.
    networking.nftables.tables.panther-policy = {
      family = "inet";
      content = ''
        set ssh4 {
          type ipv4_addr
          flags dynamic
          size 65535
          timeout 2m
        }
        set ssh6 {
          type ipv6_addr
          flags dynamic
          size 65535
          timeout 2m
        }

        chain input {
          type filter hook input priority filter - 10; policy accept;
          iifname "lo" accept

          # Only this machine has these addresses.
          ip saddr 127.0.0.0/8 counter drop comment "loopback address from outside"
          ip6 saddr ::1 counter drop comment "loopback address from outside"

          # No connection begins with these.
          tcp flags & (fin | syn | rst | psh | ack | urg) == 0x0 counter drop comment "null scan"
          tcp flags & (fin | psh | urg) == fin | psh | urg counter drop comment "xmas scan"
          tcp flags & (syn | fin) == syn | fin counter drop comment "syn and fin"
          ${lib.concatMapStrings (
            source: "${if lib.hasInfix ":" source then "ip6" else "ip"} saddr ${source} counter drop\n"
          ) cfg.deny}
          ${lib.optionalString (ssh.enable && cfg.sshPerMinute != null) ''
            tcp dport ${set ssh.ports} ct state new update @ssh4 { ip saddr limit rate over ${toString cfg.sshPerMinute}/minute } counter drop comment "too many SSH connections"
            tcp dport ${set ssh.ports} ct state new update @ssh6 { ip6 saddr limit rate over ${toString cfg.sshPerMinute}/minute } counter drop comment "too many SSH connections"
          ''}
        }
      '';
    };
  };
}
