# Users and groups, and what they have installed for themselves.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.users;
  nullable =
    type:
    mkOption {
      type = types.nullOr type;
      default = null;
    };
  strings = mkOption {
    type = types.listOf types.str;
    default = [ ];
  };

  user = types.submodule (
    { name, config, ... }:
    {
      freeformType = types.attrsOf types.anything;
      options = {
        name = mkOption {
          type = types.str;
          default = name;
        };
        isNormalUser = lib.mkEnableOption "a person's account";
        isSystemUser = lib.mkEnableOption "a service's account";
        uid = nullable types.int;
        group = mkOption {
          type = types.str;
          default = "";
        };
        extraGroups = strings;
        description = mkOption {
          type = types.str;
          default = "";
        };
        home = mkOption {
          type = types.path;
          default = "/var/empty";
        };
        createHome = lib.mkEnableOption "the home directory's creation";
        shell = mkOption {
          type = types.nullOr (types.either types.shellPackage types.path);
          default = "/run/current-system/sw/bin/nologin";
        };
        hashedPassword = nullable types.str;
        hashedPasswordFile = nullable types.str;
        initialHashedPassword = nullable types.str;
        packages = mkOption {
          type = types.listOf types.package;
          default = [ ];
        };
        openssh.authorizedKeys = {
          keys = strings;
          keyFiles = mkOption {
            type = types.listOf types.path;
            default = [ ];
          };
        };
      };
      config = lib.mkIf config.isNormalUser {
        group = lib.mkDefault "users";
        createHome = lib.mkDefault true;
        home = lib.mkDefault "/home/${config.name}";
        shell = lib.mkOverride 1400 cfg.defaultUserShell;
      };
    }
  );
  group = types.submodule (
    { name, ... }:
    {
      options = {
        name = mkOption {
          type = types.str;
          default = name;
        };
        gid = nullable types.int;
        members = strings;
      };
    }
  );
  shellOf = s: if lib.isDerivation s then "${s}${s.shellPath}" else toString s;
  keys =
    u:
    u.openssh.authorizedKeys.keys
    ++ map (f: lib.trim (builtins.readFile f)) u.openssh.authorizedKeys.keyFiles;
in
{
  options.users = {
    mutableUsers = lib.mkEnableOption "changes by useradd and passwd" // {
      default = true;
    };
    defaultUserShell = mkOption {
      type = types.either types.shellPackage types.path;
      default = pkgs.bash;
    };
    users = mkOption {
      type = types.attrsOf user;
      default = { };
    };
    groups = mkOption {
      type = types.attrsOf group;
      default = { };
    };
  };

  config = {
    users.users.root = {
      uid = 0;
      group = "root";
      home = "/root";
      shell = lib.mkDefault cfg.defaultUserShell;
      isSystemUser = true;
    };
    users.users.nobody = {
      uid = 65534;
      group = "nogroup";
      isSystemUser = true;
    };
    users.groups = lib.genAttrs [
      "audio"
      "input"
      "messagebus"
      "networkmanager"
      "nixbld"
      "nogroup"
      "root"
      "systemd-journal"
      "users"
      "video"
      "wheel"
    ] (_: { });

    assertions = lib.concatLists (
      lib.mapAttrsToList (name: u: [
        {
          assertion = u.isNormalUser != u.isSystemUser;
          message = "Exactly one of users.users.${name}.isSystemUser and users.users.${name}.isNormalUser must be set.";
        }
        {
          assertion = u.group != "";
          message = "users.users.${name}.group is unset: set it, to users.groups.${name} for instance.";
        }
        {
          assertion = cfg.groups ? ${u.group} || u.group == "";
          message = "users.users.${name}.group is ${u.group}, but there is no users.groups.${u.group}.";
        }
      ]) cfg.users
    );

    environment.etc =
      lib.concatMapAttrs (
        name: u:
        lib.optionalAttrs (u.packages != [ ]) {
          "profiles/per-user/${name}".source = pkgs.buildEnv {
            name = "user-environment";
            paths = u.packages;
            inherit (config.environment) pathsToLink extraOutputsToInstall;
          };
        }
        // lib.optionalAttrs (keys u != [ ]) {
          "ssh/authorized_keys.d/${name}".text = lib.concatLines (keys u);
        }
      ) cfg.users
      // {
        "login.defs".text = "ENCRYPT_METHOD YESCRYPT\nUMASK 077\n";
        "default/useradd".text = "SHELL=${shellOf cfg.defaultUserShell}\n";
      };

    system.build.usersGroups = pkgs.writeText "users-groups.json" (
      builtins.toJSON {
        inherit (cfg) mutableUsers;
        users = lib.mapAttrsToList (_: u: {
          inherit (u)
            name
            uid
            group
            extraGroups
            description
            home
            createHome
            hashedPasswordFile
            ;
          shell = shellOf u.shell;
        }) cfg.users;
        groups = lib.mapAttrsToList (_: g: g) cfg.groups;
      }
    );
  };
}
