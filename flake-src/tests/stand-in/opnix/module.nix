# services.onepassword-secrets, as far as it is used here.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.services.onepassword-secrets;
  wrong = lib.filter (n: builtins.match "[a-z][a-zA-Z0-9]*" n == null) (lib.attrNames cfg.secrets);
  optional = type: default: mkOption { inherit type default; };
in
{
  options.services.onepassword-secrets = {
    enable = lib.mkEnableOption "1Password secrets integration";
    tokenFile = optional types.path "/etc/opnix-token";
    outputDir = optional types.str "/var/lib/opnix/secrets";
    users = optional (types.listOf types.str) [ ];
    secrets = mkOption {
      default = { };
      type = types.attrsOf (
        types.submodule {
          options = {
            reference = mkOption { type = types.str; };
            path = optional (types.nullOr types.str) null;
            owner = optional types.str "root";
            group = optional types.str "root";
            mode = optional types.str "0600";
            services = optional (types.either (types.listOf types.str) (types.attrsOf types.attrs)) [ ];
          };
        }
      );
    };
    secretPaths = optional (types.attrsOf types.str) { };
  };

  config = lib.mkMerge [
    { standIn.tables = [ ./options.nix ]; }
    (lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = wrong == [ ];
        message = "Invalid secret key names, camelCase is needed: ${lib.concatStringsSep ", " wrong}";
      }
    ];
    services.onepassword-secrets.secretPaths = lib.mapAttrs (
      name: s: if s.path != null then s.path else "${cfg.outputDir}/${name}"
    ) cfg.secrets;
    environment.systemPackages = [ pkgs.opnix ];
    users.groups.onepassword-secrets.members = cfg.users;
    systemd.services.opnix-secrets = {
      description = "OpNix Secret Management";
      wantedBy = [ "multi-user.target" ];
      serviceConfig.ExecStart = "${lib.getExe pkgs.opnix} secret -token-file ${cfg.tokenFile} -config ${
        pkgs.writeText "opnix-config.json" (builtins.toJSON cfg.secrets)
      }";
    };
  })
  ];
}
