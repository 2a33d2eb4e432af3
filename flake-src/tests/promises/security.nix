# modules/security.
{ is, has, some, ... }:
let
  firewall.security.firewall.nftables.enable = true;
in
{
  "modules/security/firewall/nftables.nix" = {
    line = "nftables firewall";
    more = "nftables firewall configuration";
    facts = [
      (is "networking.nftables.enable" true)
      (is "networking.firewall.filterForward" true)
    ];
  };
  "modules/security/firewall/rules.nix" = {
    line = "Firewall rules";
    more = "Firewall rules and policies";
    also = firewall // {
      security = firewall.security // {
        secrets.ssh-hardening.enable = true;
        firewall = firewall.security.firewall // {
          rules.allow.web.tcpPorts = [ 8443 ];
        };
      };
    };
    facts = [
      (has "networking.nftables.tables.panther-policy.content" "too many SSH connections")
      (has "networking.firewall.extraInputRules" "tcp dport { 8443 } accept")
      (is "networking.firewall.pingLimit" "5/second")
    ];
  };
  "modules/security/firewall/logging.nix" = {
    line = "Firewall logging";
    more = "Firewall logging and monitoring";
    also = firewall;
    facts = [
      (has "networking.firewall.extraInputRules" "firewall refused input")
      (has "networking.firewall.extraForwardRules" "firewall refused forward")
    ];
  };
  "modules/security/audit/auditd.nix" = {
    line = "Audit daemon";
    more = "Linux audit daemon configuration";
    facts = [
      (is "security.auditd.enable" true)
      (is "security.audit.enable" true)
      (has "security.audit.rules" "-w /etc/shadow -p wa -k identity")
    ];
  };
  "modules/security/audit/security-logging.nix" = {
    line = "Security event logging";
    facts = [
      (has "services.journald.extraConfig" "MaxRetentionSec=6month")
      (has "security.sudo.extraConfig" "logfile=/var/log/sudo.log")
      (is "services.logrotate.settings./var/log/sudo.log.rotate" 12)
    ];
  };
  "modules/security/audit/intrusion-detection.nix" = {
    line = "Intrusion detection";
    more = "Intrusion detection setup";
    also.security.secrets.ssh-hardening.enable = true;
    facts = [
      (is "services.fail2ban.enable" true)
      (some "systemd.services.file-integrity.script")
      (has "environment.systemPackages" "aide")
    ];
  };
  "modules/security/hardening/kernel.nix" = {
    line = "Kernel security parameters";
    facts = [
      (is "boot.kernel.sysctl.kernel.dmesg_restrict" 1)
      (is "boot.kernel.sysctl.kernel.kptr_restrict" 2)
      (is "boot.kernel.sysctl.fs.suid_dumpable" 0)
      (is "security.apparmor.enable" true)
      (has "boot.blacklistedKernelModules" "dccp")
    ];
  };
  "modules/security/hardening/service-hardening.nix" = {
    line = "Service security";
    more = "Service security hardening";
    also.hardware.laptop.thermal.enable = true;
    facts = [
      (is "systemd.services.thermald.serviceConfig.LockPersonality" true)
      (is "systemd.services.thermald.serviceConfig.ProtectHome" true)
    ];
    onHosts = [ (is "systemd.services.opnix-secrets.serviceConfig.LockPersonality" true) ];
  };
  "modules/security/hardening/user-security.nix" = {
    line = "User account security";
    facts = [
      (is "users.users.root.hashedPassword" "!")
      (some "security.pam.services.login.rules.auth.panther-faillock-before")
      (some "security.pam.services.passwd.rules.password.panther-pwquality")
      (has "security.sudo.extraConfig" "timestamp_timeout=5")
      (is "security.loginDefs.settings.UMASK" "0027")
    ];
  };
  "modules/security/secrets/opnix.nix" = {
    line = "OpNix integration";
    more = "OpNix integration for 1Password secrets";
    also.security.secrets.opnix.items.tailscaleAuthKey.services = [ "tailscaled" ];
    facts = [
      (is "services.onepassword-secrets.enable" true)
      (is "services.onepassword-secrets.secrets.tailscaleAuthKey.reference" "op://pantherOS/authentication/tailscale/authKey")
      (some "systemd.services.secrets-ready.script")
    ];
  };
  "modules/security/secrets/ssh-hardening.nix" = {
    line = "SSH security";
    more = "SSH security configuration";
    facts = [
      (is "services.openssh.enable" true)
      (is "services.openssh.settings.PermitRootLogin" "no")
      (is "services.openssh.settings.PasswordAuthentication" false)
      (has "services.openssh.settings.AllowGroups" "wheel")
    ];
  };
  "modules/security/secrets/certificate.nix" = {
    line = "Certificate management";
    also.security.secrets.certificate.distrusted = [ "CA WoSign ECC Root" ];
    facts = [
      (has "users.groups" "certificates")
      (some "systemd.services.certificate-check.script")
      (has "security.pki.caCertificateBlacklist" "CA WoSign ECC Root")
    ];
  };
}
