# sudo, PAM, AppArmor, audit, kernel protection.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.security;
  pamServices = [
    "chsh"
    "login"
    "other"
    "passwd"
    "runuser"
    "su"
    "systemd-user"
    "vlock"
  ];
in
{
  options.security = {
    sudo = {
      enable = lib.mkEnableOption "sudo" // {
        default = true;
      };
      wheelNeedsPassword = lib.mkEnableOption "asking for a password" // {
        default = true;
      };
      execWheelOnly = lib.mkEnableOption "sudo for the group wheel alone";
      extraConfig = mkOption {
        type = types.lines;
        default = "";
      };
    };
    pam.services = mkOption {
      type = types.attrsOf (types.attrsOf types.anything);
      default = { };
    };
    apparmor = {
      enable = lib.mkEnableOption "AppArmor";
      killUnconfinedConfinables = lib.mkEnableOption "killing of what should be confined";
    };
    audit = {
      enable = mkOption {
        type = types.enum [
          false
          true
          "lock"
        ];
        default = false;
      };
      rules = mkOption {
        type = types.listOf types.str;
        default = [ ];
      };
      backlogLimit = mkOption {
        type = types.int;
        default = 64;
      };
    };
    auditd.enable = lib.mkEnableOption "the audit daemon";
    lockKernelModules = lib.mkEnableOption "locking of kernel modules after boot";
    protectKernelImage = lib.mkEnableOption "protection of the running kernel's image";
  };

  config = {
    security.pam.services = lib.genAttrs pamServices (_: { });
    environment.etc = lib.mapAttrs' (
      name: settings:
      lib.nameValuePair "pam.d/${name}" {
        source = pkgs.writeText "${name}.pam" ''
          account required ${pkgs.linux-pam}/lib/security/pam_unix.so
          auth sufficient ${pkgs.linux-pam}/lib/security/pam_unix.so likeauth try_first_pass
          session required ${pkgs.linux-pam}/lib/security/pam_unix.so
          # ${builtins.toJSON settings}
        '';
      }
    ) cfg.pam.services
    // {
      "pam/environment".text = "PATH DEFAULT=\"/run/wrappers/bin\"\n";
      sudoers = lib.mkIf cfg.sudo.enable {
        text = ''
          root ALL=(ALL:ALL) SETENV: ALL
          %wheel ALL=(ALL:ALL) ${lib.optionalString (!cfg.sudo.wheelNeedsPassword) "NOPASSWD: "}SETENV: ALL
          # wheel only: ${lib.boolToString cfg.sudo.execWheelOnly}
          ${cfg.sudo.extraConfig}'';
        mode = "0440";
      };
      "apparmor.d" = lib.mkIf cfg.apparmor.enable { source = pkgs.apparmor-profiles; };
    };
    environment.systemPackages =
      lib.optional cfg.sudo.enable pkgs.sudo
      ++ lib.optional cfg.apparmor.enable pkgs.apparmor-parser
      ++ lib.optional cfg.auditd.enable pkgs.audit;
    boot.kernelParams =
      lib.optionals cfg.apparmor.enable [ "lsm=landlock,yama,bpf,apparmor" ]
      ++ lib.optional (cfg.audit.enable != false) "audit=1"
      ++ lib.optional cfg.protectKernelImage "nohibernate";
    systemd.services = {
      apparmor = lib.mkIf cfg.apparmor.enable {
        wantedBy = [ "sysinit.target" ];
        serviceConfig.ExecStart = lib.getExe pkgs.apparmor-parser;
      };
      auditd = lib.mkIf cfg.auditd.enable {
        wantedBy = [ "sysinit.target" ];
        serviceConfig.ExecStart = "${pkgs.audit}/bin/auditd";
      };
      audit-rules = lib.mkIf (cfg.audit.enable != false) {
        wantedBy = [ "sysinit.target" ];
        serviceConfig.ExecStart = "${pkgs.audit}/bin/auditctl -R ${
          pkgs.writeText "audit.rules" (lib.concatLines cfg.audit.rules)
        }";
      };
      disable-kernel-module-loading = lib.mkIf cfg.lockKernelModules {
        wantedBy = [ "multi-user.target" ];
        script = "echo 1 > /proc/sys/kernel/modules_disabled";
      };
    };
  };
}
