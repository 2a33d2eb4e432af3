# The security modules: each assertion fires, and rules come out as nftables
# wants them.
{ standIn, ... }:
let
  inherit (standIn) lib fails;
  system =
    features: security:
    standIn.system {
      inherit features;
      modules = standIn.modules ++ [ { pantherOS = { inherit security; }; } ];
    };
  refused = features: security: {
    expr = fails (system features security).config.system.build.toplevel.drvPath;
    expected = true;
  };
  accepted = features: security: {
    expr = fails (system features security).config.system.build.toplevel.drvPath;
    expected = false;
  };
  is = expr: expected: { inherit expr expected; };
  rules =
    allow:
    (system [ ] {
      firewall = {
        nftables.enable = true;
        rules = {
          enable = true;
          inherit allow;
        };
      };
    }).config.networking.firewall.extraInputRules;
in
{
  rulesWithoutNftables = refused [ ] { firewall.rules.enable = true; };
  loggingWithoutNftables = refused [ ] { firewall.logging.enable = true; };
  ruleThatOpensNothing = refused [ ] {
    firewall = {
      nftables.enable = true;
      rules = {
        enable = true;
        allow.nothing = { };
      };
    };
  };
  vaultKeyWithoutVault = refused [ "opnix" ] {
    secrets.ssh-hardening = {
      enable = true;
      vaultHostKey = true;
    };
  };
  vaultKeyWithVault = accepted [ "opnix" ] {
    secrets = {
      opnix.enable = true;
      ssh-hardening = {
        enable = true;
        vaultHostKey = true;
      };
    };
  };

  openToAll = is (rules { web.tcpPorts = [ 443 ]; }) "tcp dport { 443 } accept comment \"web\"\n";
  openToSome =
    is
      (rules {
        printer = {
          udpPorts = [ 5353 ];
          interfaces = [ "wlan0" ];
          sources = [
            "192.0.2.0/24"
            "2001:db8::/32"
          ];
        };
      })
      ''
        iifname { "wlan0" } ip saddr { 192.0.2.0/24 } udp dport { 5353 } accept comment "printer"
        iifname { "wlan0" } ip6 saddr { 2001:db8::/32 } udp dport { 5353 } accept comment "printer"
      '';

  busIdFromLspci =
    is ((import ../../lib/hardware.nix { inherit lib; }).busId "0000:0a:1f.3")
      "PCI:10:31:3";
}
