# Accounts: good passwords, a lock after wrong ones, who may become root and for
# how long, what new files let others see, and what is said before a login.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.security.hardening.user-security;

  pam = "${pkgs.linux-pam}/lib/security";
  # Where a password is typed at this machine.
  typed = [
    "login"
    "su"
    "sudo"
  ]
  ++ lib.optional config.services.greetd.enable "greetd";
  # Where a session begins.
  sessions = [
    "login"
  ]
  ++ lib.optional config.services.greetd.enable "greetd"
  ++ lib.optional config.services.openssh.enable "sshd";

  # Where pam_unix is among a service's rules: ours stand right before and after.
  order =
    service: kind:
    lib.attrByPath [
      "rules"
      kind
      "unix"
      "order"
    ] 11000 config.security.pam.services.${service};

  faillock = {
    deny = cfg.lockAfter;
    unlock_time = cfg.lockSeconds;
  };
  lockout = service: {
    rules.auth = {
      panther-faillock-before = {
        order = order service "auth" - 10;
        control = "required";
        modulePath = "${pam}/pam_faillock.so";
        settings = faillock // {
          preauth = true;
        };
      };
      # pam_unix ends the stack when the password was right.
      panther-faillock-after = {
        order = order service "auth" + 10;
        control = "[default=die]";
        modulePath = "${pam}/pam_faillock.so";
        settings = faillock // {
          authfail = true;
        };
      };
    };
    # Forgets the wrong ones.
    rules.account.panther-faillock = {
      order = order service "account" - 10;
      control = "required";
      modulePath = "${pam}/pam_faillock.so";
    };
  };
in
{
  options.pantherOS.security.hardening.user-security = {
    enable = lib.mkEnableOption "account security";

    minLength = mkOption {
      type = types.ints.between 6 128;
      default = 14;
      example = 20;
      description = "How long a new password must be.";
    };

    lockAfter = mkOption {
      type = types.ints.between 1 100;
      default = 5;
      example = 10;
      description = "After how many wrong passwords an account is locked for a while.";
    };

    lockSeconds = mkOption {
      type = types.ints.positive;
      default = 900;
      example = 300;
      description = "For how many seconds.";
    };

    umask = mkOption {
      type = types.strMatching "0[0-7]{3}";
      default = "0027";
      example = "0077";
      description = "What new files do not allow: by default others nothing, the group no writing.";
    };

    sudoMinutes = mkOption {
      type = types.ints.between 0 15;
      default = 5;
      example = 0;
      description = "For how long sudo does not ask again.";
    };

    shellTimeout = mkOption {
      type = types.nullOr (types.ints.between 60 900);
      default = null;
      example = 900;
      description = "After how many idle seconds a bash or zsh ends; null for never, as where a locked screen does it.";
    };

    banner = mkOption {
      type = types.lines;
      default = "Authorized use only. Activity is logged.";
      example = "Property of pantherOS. Authorized use only.";
      description = "What is said before a login, at the console and over SSH. It names no version.";
    };
  };

  config = lib.mkIf cfg.enable {
    # Nobody logs in as root: sudo says who it was.
    users.users.root.hashedPassword = lib.mkDefault "!";

    security.pam.services = lib.mkMerge [
      (lib.genAttrs typed lockout)
      {
        su.requireWheel = true;
        passwd.rules.password = {
          panther-pwquality = {
            order = order "passwd" "password" - 10;
            control = "requisite";
            modulePath = "${pkgs.libpwquality.lib}/lib/security/pam_pwquality.so";
            settings = {
              minlen = cfg.minLength;
              difok = 2;
              maxrepeat = 3;
              maxsequence = 3;
              dictcheck = 1;
              enforce_for_root = true;
            };
          };
          # It takes the password that was judged, and asks for no other.
          unix.settings.use_authtok = true;
        };
      }
      (lib.genAttrs sessions (service: {
        rules.session.panther-umask = {
          order = order service "session" + 10;
          control = "optional";
          modulePath = "${pam}/pam_umask.so";
          settings.umask = cfg.umask;
        };
      }))
      # An account without a password is no way in.
      (lib.genAttrs (lib.filter (s: s != "sudo") typed) (_: {
        allowNullPassword = lib.mkForce false;
      }))
    ];
    security.loginDefs.settings = {
      UMASK = lib.mkForce cfg.umask;
      ENCRYPT_METHOD = "YESCRYPT";
    };

    security.sudo.extraConfig = ''
      Defaults use_pty
      Defaults timestamp_timeout=${toString cfg.sudoMinutes}
    '';

    environment.interactiveShellInit = lib.mkIf (cfg.shellTimeout != null) ''
      [ -n "''${TMOUT:-}" ] || readonly TMOUT=${toString cfg.shellTimeout}
    '';

    services.getty.greetingLine = cfg.banner;
    services.getty.helpLine = lib.mkForce "";
    services.openssh.settings.Banner = lib.mkIf config.services.openssh.enable (
      "${pkgs.writeText "ssh-banner" (cfg.banner + "\n")}"
    );
  };
}
