# Attic, a binary cache server that shares chunks between store paths and has
# tokens for those who push and pull. For caches of other projects; this
# project's own cache is pcache's, see local-cache.nix.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.services.cache.attic;
  secretFile = "/var/lib/attic-token/environment";
in
{
  options.pantherOS.services.cache.attic = {
    enable = lib.mkEnableOption "the Attic binary cache server";

    listen = mkOption {
      type = types.strMatching ".+:[0-9]+";
      default = "[::]:8080";
      example = "127.0.0.1:8080";
      description = "Address and port. The port is not opened in the firewall: machines reach it over Tailscale.";
    };

    keep = mkOption {
      type = types.strMatching "[0-9]+ (days|weeks|months)";
      default = "3 months";
      example = "2 weeks";
      description = "How long a store path that nobody asks for is kept.";
    };
  };

  config = lib.mkIf cfg.enable {
    services.atticd = {
      enable = true;
      environmentFile = secretFile;
      settings = {
        inherit (cfg) listen;
        compression.type = "zstd";
        garbage-collection = {
          interval = "12 hours";
          default-retention-period = cfg.keep;
        };
      };
    };

    # The key that signs tokens is this server's alone: it is made here, once,
    # and no other place has it, not even the vault. Lost, tokens are made anew.
    systemd.services.attic-token = {
      description = "Make the key that signs Attic's tokens";
      requiredBy = [ "atticd.service" ];
      before = [ "atticd.service" ];
      unitConfig.ConditionPathExists = "!${secretFile}";
      path = [ pkgs.openssl ];
      script = ''
        set -euo pipefail
        key=$(openssl genrsa -traditional 4096 | base64 --wrap=0)
        printf 'ATTIC_SERVER_TOKEN_RS256_SECRET_BASE64=%s\n' "$key" >${secretFile}.new
        mv ${secretFile}.new ${secretFile}
      '';
      serviceConfig = {
        Type = "oneshot";
        StateDirectory = "attic-token";
        StateDirectoryMode = "0700";
        UMask = "0077";
        PrivateNetwork = true;
        ProtectSystem = "strict";
        ProtectHome = true;
        PrivateTmp = true;
      };
    };
  };
}
