# A registry of container images on the machine itself, for what is built here
# and is nobody else's.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.services.containers.registry;
  firewall = config.networking.firewall;
in
{
  options.pantherOS.services.containers.registry = {
    enable = lib.mkEnableOption "a container registry";

    listenAddress = mkOption {
      type = types.str;
      default = "127.0.0.1";
      example = "0.0.0.0";
      description = "Where it listens. It asks nobody for a password, so the firewall stays closed: with 0.0.0.0 the machines on Tailscale reach it, and nobody else.";
    };

    port = mkOption {
      type = types.port;
      default = 5000;
      example = 5001;
      description = "Its port.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = !(firewall.enable && lib.elem cfg.port firewall.allowedTCPPorts);
        message = "The container registry's port ${toString cfg.port} is open to every network, and it asks for no password: take it out of networking.firewall.allowedTCPPorts.";
      }
      {
        assertion = cfg.listenAddress == "127.0.0.1" || firewall.enable;
        message = "pantherOS.services.containers.registry.listenAddress: without a firewall only 127.0.0.1 is safe.";
      }
    ];

    services.dockerRegistry = {
      enable = true;
      inherit (cfg) listenAddress port;
      # Layers that no image has any more go, weekly.
      enableDelete = true;
      enableGarbageCollect = true;
      garbageCollectDates = "weekly";
    };

    # Plain HTTP to the machine itself.
    virtualisation.containers.registries.insecure = [ "localhost:${toString cfg.port}" ];
    pantherOS.services.containers.container-security.registries = [
      "localhost:${toString cfg.port}"
    ];
  };
}
