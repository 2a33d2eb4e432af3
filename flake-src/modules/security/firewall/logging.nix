# What the firewall refuses, in the journal: a line each, at a rate one can
# read, and a counter of all. `journalctl -k -g 'firewall refused'` shows the
# lines, `nft list table inet nixos-fw` the counters.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.security.firewall.logging;
  # The last rules before the chain's end, where everything is dropped.
  log = what: ''
    counter comment "refused ${what}"
    limit rate ${toString cfg.perMinute}/minute burst ${toString cfg.burst} packets log level info prefix "firewall refused ${what}: "
  '';
in
{
  options.pantherOS.security.firewall.logging = {
    enable = lib.mkEnableOption "the firewall's log";

    perMinute = mkOption {
      type = types.ints.positive;
      default = 30;
      example = 5;
      description = "How many refused packets a minute are written down.";
    };

    burst = mkOption {
      type = types.ints.positive;
      default = 20;
      example = 50;
      description = "How many may follow one another at once.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = config.networking.nftables.enable && config.networking.firewall.enable;
        message = "pantherOS.security.firewall.logging writes nftables rules: set pantherOS.security.firewall.nftables.enable.";
      }
    ];

    networking.firewall = {
      extraInputRules = lib.mkAfter (log "input");
      extraForwardRules = lib.mkIf config.networking.firewall.filterForward (lib.mkAfter (log "forward"));
    };
  };
}
