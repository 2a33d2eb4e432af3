# Nix on the machine: nix.conf, its daemon, garbage collection.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.nix;
  atom = types.nullOr (
    types.oneOf [
      types.bool
      types.int
      types.str
      types.path
      types.package
    ]
  );
  show =
    v:
    if builtins.isBool v then
      lib.boolToString v
    else if builtins.isList v then
      lib.concatMapStringsSep " " show v
    else
      toString v;
  timer = name: default: {
    automatic = lib.mkEnableOption name;
    dates = mkOption {
      type = types.either types.singleLineStr (types.listOf types.str);
      inherit default;
    };
  };
in
{
  options.nix = {
    enable = lib.mkEnableOption "Nix" // {
      default = true;
    };
    package = mkOption {
      type = types.package;
      default = pkgs.nix;
    };
    settings = mkOption {
      type = types.attrsOf (types.either atom (types.listOf atom));
      default = { };
    };
    gc = timer "garbage collection" "03:15" // {
      options = mkOption {
        type = types.singleLineStr;
        default = "";
      };
    };
    optimise = timer "hard-linking of equal files" [ "03:45" ];
  };

  config = lib.mkIf cfg.enable {
    nix.settings = {
      substituters = lib.mkAfter [ "https://cache.nixos.org/" ];
      trusted-users = [ "root" ];
      sandbox = lib.mkDefault true;
    };
    environment.systemPackages = [ cfg.package ];
    environment.etc."nix/nix.conf".source = pkgs.writeText "nix.conf" (
      lib.concatLines (lib.mapAttrsToList (n: v: "${n} = ${show v}") cfg.settings)
    );
    systemd.services = {
      nix-daemon = {
        description = "Nix Daemon";
        serviceConfig.ExecStart = "${cfg.package}/bin/nix-daemon";
      };
      nix-gc = {
        description = "Nix Garbage Collector";
        script = "exec ${cfg.package}/bin/nix-collect-garbage ${cfg.gc.options}";
        startAt = lib.optionals cfg.gc.automatic (lib.toList cfg.gc.dates);
      };
      nix-optimise = lib.mkIf cfg.optimise.automatic {
        description = "Nix Store Optimiser";
        serviceConfig.ExecStart = "${cfg.package}/bin/nix store optimise";
        startAt = cfg.optimise.dates;
      };
    };
    systemd.sockets.nix-daemon = {
      wantedBy = [ "sockets.target" ];
      socketConfig.ListenStream = "/nix/var/nix/daemon-socket/socket";
    };
  };
}
