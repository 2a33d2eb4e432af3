# PostgreSQL, for services of the same machine: it listens on a socket only.
{ config, lib, ... }:
let
  cfg = config.pantherOS.services.databases.postgresql;
in
{
  options.pantherOS.services.databases.postgresql = {
    enable = lib.mkEnableOption "PostgreSQL";

    databases = lib.mkOption {
      type = lib.types.listOf (lib.types.strMatching "[a-z_][a-z0-9_]*");
      default = [ ];
      example = [ "atticd" ];
      description = "Databases to make, each with a user of the same name who owns it and logs in over the socket without a password.";
    };
  };

  config = lib.mkIf cfg.enable {
    services.postgresql = {
      enable = true;
      enableTCPIP = false;
      ensureDatabases = cfg.databases;
      ensureUsers = map (name: {
        inherit name;
        ensureDBOwnership = true;
      }) cfg.databases;
    };
  };
}
