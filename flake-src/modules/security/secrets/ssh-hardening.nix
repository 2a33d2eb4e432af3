# The SSH server: keys only, no root, modern host key, short patience.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.security.secrets.ssh-hardening;
in
{
  options.pantherOS.security.secrets.ssh-hardening = {
    enable = lib.mkEnableOption "the SSH server, hardened";

    port = mkOption {
      type = types.port;
      default = 22;
      description = "The port it listens on, which is opened in the firewall.";
    };

    groups = mkOption {
      type = types.nonEmptyListOf types.str;
      default = [ "wheel" ];
      description = "Whose members may log in.";
    };
  };

  config = lib.mkIf cfg.enable {
    services.openssh = {
      enable = true;
      ports = [ cfg.port ];
      openFirewall = true;

      hostKeys = [
        {
          type = "ed25519";
          path = "/etc/ssh/ssh_host_ed25519_key";
        }
      ];

      settings = {
        PermitRootLogin = "no";
        PasswordAuthentication = false;
        KbdInteractiveAuthentication = false;
        AllowGroups = cfg.groups;
        X11Forwarding = false;
        MaxAuthTries = 3;
        LoginGraceTime = 30;
        # A connection that has been silent for ten minutes ends.
        ClientAliveInterval = 300;
        ClientAliveCountMax = 2;
        # Says which key logged in.
        LogLevel = "VERBOSE";
      };
    };
  };
}
