# Certificates: the project's own from the vault, as files for services; which
# authorities are trusted besides the usual ones; a warning before one expires.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.security.secrets.certificate;
  secrets = config.pantherOS.security.secrets.opnix;
  checked = lib.optional (secrets.paths ? sslCertificate) secrets.paths.sslCertificate ++ cfg.check;
in
{
  options.pantherOS.security.secrets.certificate = {
    enable = lib.mkEnableOption "certificates";

    services = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "nginx" ];
      description = "Services that use the certificate of the vault: they wait for it, are restarted when it changes, and their user may read it (group certificates).";
    };

    authorities = mkOption {
      type = types.listOf types.path;
      default = [ ];
      example = lib.literalExpression "[ ./panther-ca.crt ]";
      description = "Certificates of authorities to trust, in PEM. They are public: they belong in this repository, the authority's key in the vault.";
    };

    distrusted = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "CA WoSign ECC Root" ];
      description = "Authorities of the usual ones not to trust, by their name in Mozilla's list.";
    };

    check = mkOption {
      type = types.listOf (types.strMatching "/.+");
      default = [ ];
      example = [ "/var/lib/acme/example.org/cert.pem" ];
      description = "Further certificates whose end is looked at every day.";
    };

    warnDays = mkOption {
      type = types.ints.positive;
      default = 21;
      example = 30;
      description = "How many days before its end a certificate makes the check fail.";
    };
  };

  config = lib.mkIf cfg.enable {
    users.groups.certificates = { };

    pantherOS.security.secrets.opnix.items = {
      sslCertificate = {
        inherit (cfg) services;
        group = "certificates";
        mode = "0440";
      };
      sslKey = {
        inherit (cfg) services;
        group = "certificates";
        mode = "0440";
      };
    };

    systemd.services =
      lib.genAttrs cfg.services (_: {
        serviceConfig.SupplementaryGroups = [ "certificates" ];
      })
      // {
        certificate-check = {
          description = "Certificates that will end soon";
          startAt = "daily";
          script = ''
            status=0
            for certificate in ${lib.escapeShellArgs checked}; do
              if [ ! -s "$certificate" ]; then
                echo "$certificate is missing" >&2
                status=1
              elif ! ${lib.getExe pkgs.openssl} x509 -in "$certificate" -noout -checkend ${
                toString (cfg.warnDays * 86400)
              } >/dev/null; then
                echo "$certificate ends within ${toString cfg.warnDays} days, or is no certificate" >&2
                status=1
              fi
            done
            exit $status
          '';
          serviceConfig = {
            Type = "oneshot";
            PrivateNetwork = true;
            PrivateTmp = true;
            ProtectHome = true;
            ProtectSystem = "strict";
            NoNewPrivileges = true;
          };
        };
      };
    systemd.timers.certificate-check.timerConfig.Persistent = true;

    security.pki = {
      certificateFiles = cfg.authorities;
      caCertificateBlacklist = cfg.distrusted;
    };
  };
}
