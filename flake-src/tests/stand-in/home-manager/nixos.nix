# home-manager.users.<name> in a NixOS system.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.home-manager;
  evaluate =
    name: module:
    let
      home = lib.evalModules {
      modules = [
        ./home.nix
        module
        {
          _module.args = {
            inherit name pkgs;
          };
          home.username = lib.mkDefault config.users.users.${name}.name;
          home.homeDirectory = lib.mkDefault config.users.users.${name}.home;
        }
      ]
      ++ cfg.sharedModules;
      specialArgs = {
        osConfig = config;
      }
      // cfg.extraSpecialArgs;
      prefix = [
        "home-manager"
        "users"
        name
      ];
      open = loc: lib.elemAt loc 3 != "pantherOS";
    };
    in
    home.config
    // {
      modules = home.definitions;
      # Checked with the system's, see standIn.tables.
      definitions = lib.filter (node: lib.elemAt node.loc 3 != "_module") (
        lib.filter (node: node.isDefined) home.undeclared ++ home.defined
      );
    };
in
{
  options.home-manager = {
    useGlobalPkgs = lib.mkEnableOption "the system's own package set";
    useUserPackages = lib.mkEnableOption "installation into /etc/profiles";
    backupFileExtension = mkOption {
      type = types.nullOr types.str;
      default = null;
    };
    extraSpecialArgs = mkOption {
      type = types.attrs;
      default = { };
    };
    sharedModules = mkOption {
      type = types.listOf types.raw;
      default = [ ];
    };
    users = mkOption {
      type = types.attrsOf types.deferredModule;
      default = { };
      apply = lib.mapAttrs evaluate;
    };
  };

  config = {
    standIn.tables = [ ./options.nix ];
    assertions = lib.concatLists (
      lib.mapAttrsToList (
        user: home:
        map (a: a // { message = "${user} profile: ${a.message}"; }) home.assertions
      ) cfg.users
    );
    warnings = lib.concatLists (
      lib.mapAttrsToList (user: home: map (w: "${user} profile: ${w}") home.warnings) cfg.users
    );
    users.users = lib.mkIf cfg.useUserPackages (
      lib.mapAttrs (_: home: { packages = [ home.home.path ]; }) cfg.users
    );
    systemd.services = lib.mapAttrs' (
      user: home:
      lib.nameValuePair "home-manager-${user}" {
        description = "Home Manager environment for ${user}";
        wantedBy = [ "multi-user.target" ];
        environment.HOME_MANAGER_BACKUP_EXT = cfg.backupFileExtension;
        serviceConfig = {
          Type = "oneshot";
          User = user;
          ExecStart = "${pkgs.writeShellScript "hm-setup-env" "exec \"$1/activate\""} ${home.home.activationPackage}";
        };
      }
    ) cfg.users;
  };
}
