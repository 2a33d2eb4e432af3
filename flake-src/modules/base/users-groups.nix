# The people who use the machine, their groups, and who administers it. Who
# they are comes from `users` in hosts.toml.
{
  config,
  lib,
  pkgs,
  host,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.base.users-groups;
  admins = lib.filter (name: cfg.users ? ${name}) cfg.admins;
in
{
  options.pantherOS.base.users-groups = {
    enable = lib.mkEnableOption "the accounts of the people in hosts.toml";

    users = mkOption {
      default = { };
      example = lib.literalExpression ''{ hayden.fullName = "Hayden"; }'';
      description = "The people who have an account, by login name.";
      type = types.attrsOf (
        types.submodule {
          options = {
            fullName = mkOption {
              type = types.str;
              default = "";
              description = "Name for login screens.";
            };
            extraGroups = mkOption {
              type = types.listOf types.str;
              default = [ ];
              description = "Groups of this person alone.";
            };
            authorizedKeys = mkOption {
              type = types.listOf types.singleLineStr;
              default = [ ];
              description = "Public SSH keys that may log in. Public keys are no secrets: they belong in this repository.";
            };
          };
        }
      );
    };

    admins = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "hayden" ];
      description = "Who may become root (group wheel), where they have an account.";
    };

    extraGroups = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "networkmanager" ];
      description = "Groups of everybody; modules add those that their service needs.";
    };

    shell = mkOption {
      type = types.enum [
        "bash"
        "fish"
        "zsh"
      ];
      default = "bash";
      description = "Login shell of everybody.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.users != { };
        message = "${host.name} has no users: set `users` for it, or in [defaults], in hosts.toml.";
      }
      {
        assertion = admins != [ ];
        message = "Nobody on ${host.name} may become root: name one of ${lib.concatStringsSep ", " (lib.attrNames cfg.users)} in pantherOS.base.users-groups.admins.";
      }
    ];

    # Passwords are set on the machine and stay there.
    users.mutableUsers = true;

    users.users = lib.mapAttrs (name: user: {
      isNormalUser = true;
      description = user.fullName;
      shell = pkgs.${cfg.shell};
      extraGroups = cfg.extraGroups ++ user.extraGroups ++ lib.optional (lib.elem name admins) "wheel";
      openssh.authorizedKeys.keys = user.authorizedKeys;
    }) cfg.users;

    # A login shell needs the system's own set-up (PATH, completions); bash has
    # it on every NixOS.
    programs = lib.mkIf (cfg.shell != "bash") { ${cfg.shell}.enable = true; };

    # The setuid program is not even readable for those who may not use it.
    security.sudo.execWheelOnly = lib.mkDefault true;
  };
}
