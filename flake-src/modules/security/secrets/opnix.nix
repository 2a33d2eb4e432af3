# Secrets from 1Password, fetched on the machine by OpNix when it boots. None is
# in this repository, in the Nix store or in an environment variable: services
# are told the path of a file.
{
  config,
  lib,
  features,
  host,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.security.secrets.opnix;
in
{
  options.pantherOS.security.secrets.opnix = {
    enable = lib.mkEnableOption "secrets from 1Password";

    vault = mkOption {
      type = types.strMatching "[A-Za-z0-9_-]+";
      default = "pantherOS";
      description = "The vault that all secrets are in.";
    };

    tokenFile = mkOption {
      type = types.strMatching "/.+";
      default = "/etc/opnix-token";
      description = "File on the machine with the service account's token; `opnix token set` writes it.";
    };

    items = mkOption {
      default = { };
      example = {
        tailscaleAuthKey.item = "authentication/tailscale/authKey";
      };
      description = "What to fetch. Modules add what their service needs and read the file's path with pantherOS.security.secrets.opnix.paths.";
      # OpNix takes no other names.
      type = types.attrsOf (
        types.submodule {
          options = {
            item = mkOption {
              type = types.strMatching "[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)+";
              description = "Place in the vault: item, section, field.";
            };
            owner = mkOption {
              type = types.str;
              default = "root";
              description = "Who may read the file.";
            };
            mode = mkOption {
              type = types.strMatching "0[0-7]{3}";
              default = "0400";
              description = "Mode of the file.";
            };
            services = mkOption {
              type = types.listOf types.str;
              default = [ ];
              description = "Services that wait for it, and are restarted when it changes.";
            };
          };
        }
      );
    };

    paths = mkOption {
      type = types.attrsOf types.str;
      readOnly = true;
      default = lib.optionalAttrs (
        features.opnix && cfg.enable
      ) config.services.onepassword-secrets.secretPaths;
      defaultText = lib.literalMD "the file of each item";
      description = "Where each secret's file is; empty while secrets are off.";
    };
  };

  config = lib.mkMerge [
    (lib.mkIf cfg.enable {
      assertions = [
        {
          assertion = features.opnix;
          message = "pantherOS.security.secrets.opnix needs OpNix: add \"opnix\" to the features of ${host.name} in hosts.toml and run `panther generate`.";
        }
      ];
    })

    (lib.optionalAttrs features.opnix {
      services.onepassword-secrets = lib.mkIf cfg.enable {
        enable = true;
        inherit (cfg) tokenFile;
        secrets = lib.mapAttrs (_: secret: {
          reference = "op://${cfg.vault}/${secret.item}";
          inherit (secret) owner mode services;
        }) cfg.items;
      };
    })
  ];
}
