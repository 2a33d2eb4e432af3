# The SSH server: sshd_config, its port in the firewall.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.services.openssh;
  atom = types.nullOr (
    types.oneOf [
      types.bool
      types.int
      types.str
    ]
  );
  show =
    v:
    if v == true then
      "yes"
    else if v == false then
      "no"
    else
      toString v;
in
{
  options.services.openssh = {
    enable = lib.mkEnableOption "the OpenSSH server";
    package = mkOption {
      type = types.package;
      default = pkgs.openssh;
    };
    ports = mkOption {
      type = types.listOf types.port;
      default = [ 22 ];
    };
    openFirewall = lib.mkEnableOption "its ports in the firewall" // {
      default = true;
    };
    hostKeys = mkOption {
      type = types.listOf (types.attrsOf types.anything);
      default =
        map
          (type: {
            inherit type;
            path = "/etc/ssh/ssh_host_${type}_key";
          })
          [
            "rsa"
            "ed25519"
          ];
    };
    settings = mkOption {
      default = { };
      type = types.submodule {
        freeformType = types.attrsOf (types.either atom (types.listOf types.str));
        options = {
          PermitRootLogin = mkOption {
            default = "prohibit-password";
            type = types.nullOr (
              types.enum [
                "yes"
                "without-password"
                "prohibit-password"
                "forced-commands-only"
                "no"
              ]
            );
          };
          PasswordAuthentication = mkOption {
            type = types.nullOr types.bool;
            default = true;
          };
          KbdInteractiveAuthentication = mkOption {
            type = types.nullOr types.bool;
            default = true;
          };
        };
      };
    };
  };

  config = lib.mkIf cfg.enable {
    networking.firewall.allowedTCPPorts = lib.optionals cfg.openFirewall cfg.ports;
    security.pam.services.sshd = { };
    users.groups.sshd = { };
    users.users.sshd = {
      isSystemUser = true;
      group = "sshd";
    };
    environment.etc."ssh/sshd_config".source = pkgs.writeText "sshd.conf-final" (
      lib.concatMapStrings (p: "Port ${toString p}\n") cfg.ports
      + lib.concatMapStrings (k: "HostKey ${k.path}\n") cfg.hostKeys
      + lib.concatStrings (
        lib.mapAttrsToList (n: v: "${n} ${show v}\n") (lib.filterAttrs (_: v: v != null) cfg.settings)
      )
    );
    systemd.services.sshd = {
      description = "SSH Daemon";
      wantedBy = [ "multi-user.target" ];
      serviceConfig.ExecStart = "${cfg.package}/bin/sshd -D";
    };
    systemd.services.sshd-keygen = {
      description = "SSH Host Keys Generation";
      script = "echo ${toString (map (k: k.path) cfg.hostKeys)}";
    };
  };
}
