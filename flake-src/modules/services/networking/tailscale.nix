# Tailscale: the machines' own private network.
{
  config,
  lib,
  features,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.services.networking.tailscale;
  secrets = config.pantherOS.security.secrets.opnix;
in
{
  options.pantherOS.services.networking.tailscale = {
    enable = lib.mkEnableOption "Tailscale";

    routing = mkOption {
      type = types.enum [
        "none"
        "client"
        "server"
        "both"
      ];
      default = "client";
      description = "Whether the machine uses exit nodes and subnet routers (client), is one (server), or both.";
    };
  };

  config = lib.mkIf cfg.enable {
    # Without secrets from 1Password one joins with `tailscale up`.
    pantherOS.security.secrets.opnix.items.tailscaleAuthKey.services = [ "tailscaled" ];

    services.tailscale = {
      enable = true;
      useRoutingFeatures = cfg.routing;
      # Direct connections instead of a relay's.
      openFirewall = true;
      authKeyFile = lib.mkIf (features.opnix && secrets.enable) secrets.paths.tailscaleAuthKey;
    };

    networking.firewall = {
      trustedInterfaces = [ "tailscale0" ];
      extraForwardRules = ''
        iifname "tailscale0" oifname "tailscale0" accept
      '';
    };
  };
}
