# The Datadog agent: the machine's figures to the owner's Datadog account.
{
  config,
  lib,
  features,
  host,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.services.monitoring.datadog;
  secrets = config.pantherOS.security.secrets.opnix;
  haveSecrets = features.opnix && secrets.enable;
in
{
  options.pantherOS.services.monitoring.datadog = {
    enable = lib.mkEnableOption "the Datadog agent";

    site = mkOption {
      type = types.str;
      default = "datadoghq.com";
      example = "datadoghq.eu";
      description = "The Datadog site that the account is on.";
    };

    role = mkOption {
      type = types.strMatching "[a-z][a-z0-9_-]*";
      default = "workstation";
      example = "server";
      description = "What the machine is for: the tag role.";
    };

    extraTags = mkOption {
      type = types.listOf (types.strMatching "[^,[:space:]]+");
      default = [ ];
      example = [ "room:office" ];
      description = "Tags beside role, host and owner.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = haveSecrets;
        message = "pantherOS.services.monitoring.datadog on ${host.name}: the API key is in the vault; set pantherOS.security.secrets.opnix.enable.";
      }
    ];

    pantherOS.security.secrets.opnix.items.datadogApiKey = {
      # The agent's own account reads it, not root on its behalf.
      owner = "datadog";
      services = [ "datadog-agent" ];
    };

    services.datadog-agent = {
      enable = true;
      inherit (cfg) site;
      hostname = host.name;
      tags = [
        "role:${cfg.role}"
        "host:${host.name}"
      ]
      ++ map (user: "owner:${user}") host.users
      ++ cfg.extraTags;
      apiKeyFile = lib.mkIf haveSecrets secrets.paths.datadogApiKey;
    };
  };
}
