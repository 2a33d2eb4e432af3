# The binary caches this machine takes from, and how it treats what it has
# built: the local side of pcache (docs/pcache.md).
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.services.cache.local-cache;

  # Nix runs it as root after each build, with the paths in OUT_PATHS, and
  # fails the build if it fails: a cache that is full must not do that.
  hook = pkgs.writeShellScript "pcache-push" ''
    # The list is of store paths, which have no spaces: words are meant.
    # shellcheck disable=SC2086
    ${lib.escapeShellArgs [
      (lib.getExe' cfg.push.package "pcache")
      "push"
      "--progress"
      "none"
      "--secret-key-file"
      cfg.push.secretKeyFile
      cfg.push.cache
    ]} $OUT_PATHS || echo "pcache: not pushed: $OUT_PATHS" >&2
    exit 0
  '';
in
{
  options.pantherOS.services.cache.local-cache = {
    enable = lib.mkEnableOption "binary caches and their keys, and a store that keeps what builds need";

    caches = mkOption {
      default = { };
      example = {
        fleet = {
          url = "https://cache.example.org";
          publicKey = "cache.example.org-1:kd0mYLxYvCGpHoFu3E/X5zHYyHBDsGl9CHjz+i4Jh4c=";
        };
      };
      description = "Caches that this machine takes from, before cache.nixos.org.";
      type = types.attrsOf (
        types.submodule {
          options = {
            url = mkOption {
              type = types.strMatching "(https?|file|s3)://.+";
              description = "Where it is.";
            };
            publicKey = mkOption {
              type = types.strMatching "[^:[:space:]]+:[A-Za-z0-9+/]{43}=";
              description = "The key that it signs with; `pcache pubkey` prints it.";
            };
          };
        }
      );
    };

    keepBuildInputs = mkOption {
      type = types.bool;
      default = false;
      description = "Whether garbage collection spares what living packages were built with, so that a change does not download or build it again. For machines that build, with room.";
    };

    push = mkOption {
      type = types.nullOr (
        types.submodule {
          options = {
            package = mkOption {
              type = types.package;
              description = "The package with the command pcache.";
            };
            cache = mkOption {
              type = types.strMatching "file:///.+";
              example = "file:///srv/cache";
              description = "The cache to push to.";
            };
            secretKeyFile = mkOption {
              type = types.strMatching "/.+";
              example = "/var/lib/pcache/secret-key";
              description = "File on the machine with the key to sign with, which only root may read.";
            };
          };
        }
      );
      default = null;
      description = "Where to push everything that is built on this machine; null for nowhere.";
    };
  };

  config = lib.mkIf cfg.enable {
    nix.settings = {
      extra-substituters = lib.mapAttrsToList (_: cache: cache.url) cfg.caches;
      extra-trusted-public-keys = lib.mapAttrsToList (_: cache: cache.publicKey) cfg.caches;

      # A cache that is out of reach costs seconds, then things are built.
      connect-timeout = 5;
      fallback = true;
      # What was missing a moment ago may have been pushed since.
      narinfo-cache-negative-ttl = 300;

      keep-outputs = cfg.keepBuildInputs;
      keep-derivations = cfg.keepBuildInputs;

      post-build-hook = lib.mkIf (cfg.push != null) hook;
    };
  };
}
