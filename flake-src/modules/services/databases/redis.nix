# Redis, for services of the same machine: a socket, no port.
{ config, lib, ... }:
let
  cfg = config.pantherOS.services.databases.redis;
in
{
  options.pantherOS.services.databases.redis = {
    enable = lib.mkEnableOption "Redis";

    maxMemory = lib.mkOption {
      type = lib.types.strMatching "[0-9]+(mb|gb)";
      default = "256mb";
      example = "1gb";
      description = "How much it may hold before the least recently used keys go.";
    };
  };

  config = lib.mkIf cfg.enable {
    services.redis.servers.main = {
      enable = true;
      # 0: no TCP at all.
      port = 0;
      settings = {
        maxmemory = cfg.maxMemory;
        maxmemory-policy = "allkeys-lru";
      };
    };
  };
}
