# The SSH server: keys only, no root, modern host key and ciphers, short
# patience. Its own key, and the key of those who log in, come from the vault
# where the host says so.
{
  config,
  lib,
  features,
  host,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.security.secrets.ssh-hardening;
  secrets = config.pantherOS.security.secrets.opnix;
  haveSecrets = features.opnix && secrets.enable;
in
{
  options.pantherOS.security.secrets.ssh-hardening = {
    enable = lib.mkEnableOption "the SSH server, hardened";

    port = mkOption {
      type = types.port;
      default = 22;
      example = 2222;
      description = "The port it listens on, which is opened in the firewall.";
    };

    groups = mkOption {
      type = types.nonEmptyListOf types.str;
      default = [ "wheel" ];
      example = [
        "wheel"
        "deploy"
      ];
      description = "Whose members may log in.";
    };

    vaultHostKey = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether the server's own key is the vault's (ssh/server/privateKey, of type ed25519), so that a reinstalled server is known still. Until it has been fetched the server has one made on the machine.";
    };

    workstationKey = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether the workstations' public key in the vault (ssh/workstation/publicKey) may log in, to every account that may log in at all.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.vaultHostKey || cfg.workstationKey -> haveSecrets;
        message = "pantherOS.security.secrets.ssh-hardening on ${host.name}: the keys are in the vault; set pantherOS.security.secrets.opnix.enable, or vaultHostKey and workstationKey to false.";
      }
    ];

    pantherOS.security.secrets.opnix.items = {
      sshServerPrivateKey = lib.mkIf cfg.vaultHostKey { services = [ "sshd" ]; };
      # The server reads it as the one who logs in; it is no secret.
      sshWorkstationPublicKey = lib.mkIf cfg.workstationKey { mode = "0444"; };
    };

    services.openssh = {
      authorizedKeysFiles = lib.mkIf (cfg.workstationKey && haveSecrets) [
        secrets.paths.sshWorkstationPublicKey
      ];

      enable = true;
      ports = [ cfg.port ];
      openFirewall = true;

      hostKeys = [
        {
          type = "ed25519";
          path =
            if cfg.vaultHostKey && haveSecrets then
              secrets.paths.sshServerPrivateKey
            else
              "/etc/ssh/ssh_host_ed25519_key";
        }
      ];

      settings = {
        PermitRootLogin = "no";
        PasswordAuthentication = false;
        KbdInteractiveAuthentication = false;
        AllowGroups = cfg.groups;
        X11Forwarding = false;
        AllowAgentForwarding = false;
        HostbasedAuthentication = false;
        IgnoreRhosts = true;
        PermitEmptyPasswords = false;
        PermitUserEnvironment = false;
        MaxAuthTries = 3;
        MaxSessions = 10;
        # Ten that have not logged in yet; from then on some are refused, and at
        # sixty all.
        MaxStartups = "10:30:60";
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
