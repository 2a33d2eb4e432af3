# The host's name and the firewall.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.networking;
  fw = cfg.firewall;
  ports = mkOption {
    type = types.listOf types.port;
    default = [ ];
    apply = ps: lib.unique (lib.sort lib.lessThan ps);
  };
  ranges = mkOption {
    type = types.listOf (types.attrsOf types.port);
    default = [ ];
  };
  strings = mkOption {
    type = types.listOf types.str;
    default = [ ];
  };
  lines = mkOption {
    type = types.lines;
    default = "";
  };
  on = name: lib.mkEnableOption name // { default = true; };
  interface = {
    allowedTCPPorts = ports;
    allowedUDPPorts = ports;
    allowedTCPPortRanges = ranges;
    allowedUDPPortRanges = ranges;
  };
  set = ps: lib.concatMapStringsSep ", " toString ps;
  table = types.submodule (
    { name, ... }:
    {
      options = {
        enable = on "the table";
        name = mkOption {
          type = types.str;
          default = name;
        };
        family = mkOption {
          type = types.enum [
            "ip"
            "ip6"
            "inet"
            "arp"
            "bridge"
            "netdev"
          ];
        };
        content = mkOption { type = types.lines; };
      };
    }
  );
in
{
  options.networking = {
    hostName = mkOption {
      type = types.strMatching "([[:alnum:]]([[:alnum:]_-]{0,61}[[:alnum:]])?)?";
      default = "nixos";
    };
    extraHosts = lines;
    nameservers = strings;
    firewall = {
      enable = on "the firewall";
      allowPing = on "answers to ping";
      logRefusedConnections = on "a log line for each refused connection";
      logRefusedPackets = lib.mkEnableOption "a log line for each refused packet";
      logReversePathDrops = lib.mkEnableOption "a log line for each packet from a wrong way";
      rejectPackets = lib.mkEnableOption "refusing rather than dropping";
      filterForward = lib.mkEnableOption "a filter for forwarded packets";
      checkReversePath = mkOption {
        type = types.either types.bool (
          types.enum [
            "strict"
            "loose"
          ]
        );
        default = true;
      };
      trustedInterfaces = strings;
      extraInputRules = lines;
      extraForwardRules = lines;
      interfaces = mkOption {
        type = types.attrsOf (types.submodule { options = interface; });
        default = { };
      };
    }
    // interface;
    nftables = {
      enable = lib.mkEnableOption "nftables";
      ruleset = lines;
      tables = mkOption {
        type = types.attrsOf table;
        default = { };
      };
    };
  };

  config = {
    assertions = [
      {
        assertion = fw.filterForward -> cfg.nftables.enable;
        message = "filterForward only works with the nftables based firewall";
      }
    ];
    networking.firewall.trustedInterfaces = [ "lo" ];
    networking.nftables.tables.nixos-fw = lib.mkIf (cfg.nftables.enable && fw.enable) {
      family = "inet";
      content = ''
        chain input {
          type filter hook input priority filter; policy drop;
          iifname { ${lib.concatMapStringsSep ", " (i: "\"${i}\"") fw.trustedInterfaces} } accept
          ct state { established, related } accept
          tcp dport { ${set fw.allowedTCPPorts} } accept
          udp dport { ${set fw.allowedUDPPorts} } accept
          ${lib.concatMapAttrsStringSep "\n" (
            name: i:
            "iifname \"${name}\" tcp dport { ${set i.allowedTCPPorts} } accept # udp ${set i.allowedUDPPorts}"
          ) fw.interfaces}
          ${lib.optionalString fw.allowPing "icmp type echo-request accept"}
          ${lib.optionalString fw.logRefusedConnections "log prefix \"refused connection: \""}
          ${fw.extraInputRules}
        }
        chain forward {
          type filter hook forward priority filter; policy ${if fw.filterForward then "drop" else "accept"};
          ${fw.extraForwardRules}
        }
        # reverse path: ${if builtins.isBool fw.checkReversePath then lib.boolToString fw.checkReversePath else fw.checkReversePath}
      '';
    };
    environment.systemPackages = lib.mkIf fw.enable [
      (if cfg.nftables.enable then pkgs.nftables else pkgs.iptables)
    ];
    systemd.services.nftables = lib.mkIf cfg.nftables.enable {
      description = "nftables firewall";
      wantedBy = [ "multi-user.target" ];
      serviceConfig.ExecStart = "${pkgs.nftables}/bin/nft -f ${
        pkgs.writeText "nftables-rules" (
          lib.concatMapStrings (t: ''
            table ${t.family} ${t.name} {
            ${t.content}
            }
          '') (lib.filter (t: t.enable) (lib.attrValues cfg.nftables.tables))
          + cfg.nftables.ruleset
        )
      }";
    };
    systemd.services.firewall = lib.mkIf (fw.enable && !cfg.nftables.enable) {
      description = "Firewall";
      wantedBy = [ "sysinit.target" ];
      script = "echo tcp ${set fw.allowedTCPPorts} udp ${set fw.allowedUDPPorts}";
    };
    environment.etc = {
      hostname.text = cfg.hostName + "\n";
      hosts.text = "127.0.0.1 localhost\n127.0.0.2 ${cfg.hostName}\n${cfg.extraHosts}";
      "resolvconf.conf".text = lib.concatMapStrings (n: "nameserver ${n}\n") cfg.nameservers;
      "nsswitch.conf".text = "passwd: files systemd\nhosts: mymachines resolve files myhostname dns\n";
      "host.conf".text = "multi on\n";
    };
  };
}
