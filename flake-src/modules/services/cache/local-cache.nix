# The local side of pcache (docs/pcache.md): the binary caches this machine takes
# from, a server on it that keeps what was fetched for the machines around, a
# timer that brings the next generation before it is asked for, and where what is
# built here is pushed.
{
  config,
  lib,
  pkgs,
  host,
  inputs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.services.cache.local-cache;

  # Without one an assertion says so.
  pcache = lib.optionalString (cfg.package != null) (lib.getExe' cfg.package "pcache");
  folder = "/var/cache/pcache";
  keyFlags = lib.concatMap (cache: [
    "--public-key"
    cache.publicKey
  ]) (lib.attrValues cfg.caches);

  # What both units may do: speak to networks and write their own folder.
  sandbox = {
    CapabilityBoundingSet = "";
    LockPersonality = true;
    MemoryDenyWriteExecute = true;
    NoNewPrivileges = true;
    PrivateDevices = true;
    PrivateTmp = true;
    ProtectClock = true;
    ProtectControlGroups = true;
    ProtectHome = true;
    ProtectHostname = true;
    ProtectKernelLogs = true;
    ProtectKernelModules = true;
    ProtectKernelTunables = true;
    ProtectSystem = "strict";
    RestrictAddressFamilies = [
      "AF_INET"
      "AF_INET6"
      "AF_UNIX"
    ];
    RestrictNamespaces = true;
    RestrictRealtime = true;
    RestrictSUIDSGID = true;
    SystemCallArchitectures = "native";
    SystemCallFilter = [
      "@system-service"
      "~@privileged"
    ];
    UMask = "0022";
  };

  # Nix runs it as root after each build, with the paths in OUT_PATHS, and
  # fails the build if it fails: a cache that is full must not do that.
  hook = pkgs.writeShellScript "pcache-push" ''
    # The list is of store paths, which have no spaces: words are meant.
    # shellcheck disable=SC2086
    ${lib.escapeShellArgs [
      pcache
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

    package = mkOption {
      type = types.nullOr types.package;
      default = import ../../../lib/pcache.nix { inherit inputs pkgs; };
      defaultText = lib.literalMD "built from this repository, where the flake is given as a Git tree (`?dir=flake-src`) and nixpkgs has the Go that go.mod asks for, as 26.05 has; else null";
      example = lib.literalExpression "pkgs.callPackage ./pcache.nix { }";
      description = "The package with the command pcache, for `serve`, `warm` and `push`.";
    };

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

    environmentFile = mkOption {
      type = types.nullOr (types.strMatching "/.+");
      default = null;
      example = "/var/lib/opnix/secrets/cache.env";
      description = "File on the machine with the variables that `serve` and `warm` need to reach a private bucket (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY).";
    };

    serve = {
      enable = lib.mkEnableOption "`pcache serve`: a substituter that reads through to `caches` and cache.nixos.org and keeps what it fetched";

      listen = mkOption {
        type = types.strMatching ".+:[0-9]+";
        default = "127.0.0.1:8501";
        example = "[::]:8501";
        description = "Address and port. The port is not opened in the firewall: other machines reach it over Tailscale.";
      };

      maxSize = mkOption {
        type = types.strMatching "[0-9]+(MiB|GiB|TiB)";
        default = "20GiB";
        example = "200GiB";
        description = "How much it may keep; the least recently used goes first, what `warm` brought stays.";
      };
    };

    warm = {
      enable = lib.mkEnableOption "`pcache warm`: the newest generations of `roots` are brought by a timer, so that a switch to them downloads nothing";

      cache = mkOption {
        type = types.str;
        default = (lib.head (lib.attrValues cfg.caches ++ [ { url = ""; } ])).url;
        defaultText = lib.literalMD "the first of `caches`";
        example = "s3://pantheros-cache?endpoint=s3.example.org";
        description = "The cache to bring them from: one that can list its roots.";
      };

      roots = mkOption {
        type = types.nonEmptyListOf types.singleLineStr;
        default = [ host.name ];
        defaultText = lib.literalMD "this host";
        example = [
          "desktop"
          "yoga"
        ];
        description = "Names of roots, as the pipeline pushes them: those of the hosts.";
      };

      to = mkOption {
        type = types.enum [
          "store"
          "directory"
        ];
        default = if cfg.serve.enable then "directory" else "store";
        defaultText = lib.literalMD "`directory` with `serve`, else `store`";
        description = "Whether into this machine's store, for itself, or into the folder of `serve`, for the machines around it.";
      };

      at = mkOption {
        type = types.str;
        default = "hourly";
        example = "03:00";
        description = "When, as systemd writes times.";
      };
    };

    push = mkOption {
      type = types.nullOr (
        types.submodule {
          options = {
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
      example = {
        cache = "file:///srv/cache";
        secretKeyFile = "/var/lib/pcache/secret-key";
      };
      description = "Where to push everything that is built on this machine; null for nowhere.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.serve.enable || cfg.warm.enable || cfg.push != null -> cfg.package != null;
        message = "pantherOS.services.cache.local-cache.{serve,warm,push} need pcache: give the flake as a Git tree (git+file:///PATH?dir=flake-src), so that it sees the whole repository, with a nixpkgs that has the Go of its go.mod, or set pantherOS.services.cache.local-cache.package.";
      }
      {
        assertion = cfg.warm.enable -> cfg.warm.cache != "";
        message = "pantherOS.services.cache.local-cache.warm: say where from, in warm.cache or in caches.";
      }
    ];

    # systemd listens: a restart of the server refuses nobody.
    systemd.sockets.pcache-serve = lib.mkIf cfg.serve.enable {
      description = "Nix substituter with a local cache";
      wantedBy = [ "sockets.target" ];
      socketConfig.ListenStream = cfg.serve.listen;
    };
    systemd.services.pcache-serve = lib.mkIf cfg.serve.enable {
      description = "Nix substituter with a local cache";
      requires = [ "pcache-serve.socket" ];
      after = [ "network.target" ];
      serviceConfig = sandbox // {
        ExecStart = lib.escapeShellArgs (
          [
            pcache
            "serve"
            "--local"
            folder
            "--local-size"
            cfg.serve.maxSize
          ]
          ++ keyFlags
          # A key that is given is for all of them.
          ++ lib.optionals (cfg.caches != { }) [
            "--public-key"
            "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY="
          ]
          ++ lib.mapAttrsToList (_: cache: cache.url) cfg.caches
          ++ [ "https://cache.nixos.org" ]
        );
        EnvironmentFile = lib.optional (cfg.environmentFile != null) cfg.environmentFile;
        DynamicUser = true;
        User = "pcache";
        CacheDirectory = "pcache";
        CacheDirectoryMode = "0755";
        Restart = "on-failure";
        # Streams are bounded; this is for what nobody thought of.
        MemoryMax = "1G";
      };
    };

    systemd.services.pcache-warm = lib.mkIf cfg.warm.enable {
      description = "Bring the newest generations of ${lib.concatStringsSep ", " cfg.warm.roots}";
      wants = [ "network-online.target" ];
      after = [ "network-online.target" ];
      startAt = cfg.warm.at;
      serviceConfig =
        # Into the store goes what Nix's daemon lets root add.
        sandbox
        // {
          Type = "oneshot";
          ExecStart = lib.escapeShellArgs (
            [
              pcache
              "warm"
              cfg.warm.cache
            ]
            ++ cfg.warm.roots
            ++ (
              if cfg.warm.to == "store" then
                [
                  "--to"
                  "store"
                ]
              else
                [
                  "--to"
                  folder
                  "--max-size"
                  cfg.serve.maxSize
                ]
                ++ keyFlags
            )
          );
          EnvironmentFile = lib.optional (cfg.environmentFile != null) cfg.environmentFile;
          Nice = 10;
          IOSchedulingClass = "idle";
        }
        // lib.optionalAttrs (cfg.warm.to == "directory") {
          DynamicUser = true;
          User = "pcache";
          CacheDirectory = "pcache";
          CacheDirectoryMode = "0755";
        };
    };
    systemd.timers.pcache-warm = lib.mkIf cfg.warm.enable {
      timerConfig = {
        RandomizedDelaySec = "10min";
        Persistent = true;
      };
    };

    nix.settings = {
      extra-substituters =
        lib.optional cfg.serve.enable "http://127.0.0.1:${lib.last (lib.splitString ":" cfg.serve.listen)}"
        ++ lib.mapAttrsToList (_: cache: cache.url) cfg.caches;
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
