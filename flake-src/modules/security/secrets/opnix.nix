# Secrets from 1Password, fetched on the machine by OpNix when it boots. None is
# in this repository, in the Nix store or in the environment of a login:
# services are told the path of a file, or are given an environment file of
# their own. secrets/map.nix is the one list of what there is and where.
#
# When the vault cannot be reached the machine boots with what it fetched last;
# the unit secrets-ready then fails and names each secret that is missing.
{
  config,
  lib,
  features,
  host,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.security.secrets.opnix;
  secrets = import ../../../lib/secrets.nix { inherit lib; };

  owner = mkOption {
    type = types.str;
    default = "root";
    example = "hayden";
    description = "Whose file it is.";
  };
  group = mkOption {
    type = types.str;
    default = "root";
    example = "certificates";
    description = "The file's group.";
  };
  mode = mkOption {
    type = types.strMatching "0[0-7]{3}";
    default = "0400";
    example = "0440";
    description = "Mode of the file.";
  };
  services = mkOption {
    type = types.listOf types.str;
    default = [ ];
    example = [ "tailscaled" ];
    description = "Services that wait for it, and are restarted when it changes.";
  };

  # Names of the secrets in a template.
  namesIn = file: map (line: secrets.names.${line.reference}) secrets.templates.${file};
  environmentFile = file: "/run/secrets-env/${file}";

  check = name: secret: ''
    if [ ! -s ${cfg.paths.${name}} ]; then
      echo "${name} is missing: ${secrets.reference secret.item} has not been fetched" >&2
      missing=1
    fi
  '';
  # printf and $(<…) are bash's own: no secret in an argument list.
  render = file: template: ''
    if ${lib.concatMapStringsSep " && " (name: "[ -s ${cfg.paths.${name}} ]") (namesIn file)}; then
      {
        ${lib.concatMapStringsSep "\n    " (
          line: "printf '%s=%s\\n' ${line.variable} \"$(<${cfg.paths.${secrets.names.${line.reference}}})\""
        ) secrets.templates.${file}}
      } >${environmentFile file}.new
      chown ${template.owner}:${template.group} ${environmentFile file}.new
      chmod ${template.mode} ${environmentFile file}.new
      mv ${environmentFile file}.new ${environmentFile file}
    fi
  '';
in
{
  options.pantherOS.security.secrets.opnix = {
    enable = lib.mkEnableOption "secrets from 1Password";

    tokenFile = mkOption {
      type = types.strMatching "/.+";
      default = "/etc/opnix-token";
      example = "/var/lib/opnix-token";
      description = "File on the machine with the service account's token; `opnix token set` writes it.";
    };

    items = mkOption {
      default = { };
      example = {
        tailscaleAuthKey.services = [ "tailscaled" ];
      };
      description = "What to fetch, by its name in secrets/map.nix. Modules add what their service needs and read the file's path with pantherOS.security.secrets.opnix.paths.";
      type = types.attrsOf (
        types.submodule (
          { name, ... }:
          {
            options = {
              item = mkOption {
                type = types.strMatching "[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)+";
                default = secrets.map.${name} or "no-item/called/${name}";
                defaultText = lib.literalMD "the place that secrets/map.nix has for the name";
                example = "authentication/tailscale/authKey";
                description = "Place in the vault, one of secrets/map.nix.";
              };
              inherit
                owner
                group
                mode
                services
                ;
            };
          }
        )
      );
    };

    templates = mkOption {
      default = { };
      example = {
        "b2.env".services = [ "restic-backups-system" ];
      };
      description = "Environment files to make of secrets/templates, by file name; read the path with pantherOS.security.secrets.opnix.environmentFiles.";
      type = types.attrsOf (
        types.submodule {
          options = {
            inherit
              owner
              group
              mode
              services
              ;
          };
        }
      );
    };

    paths = mkOption {
      type = types.attrsOf types.str;
      readOnly = true;
      default = lib.optionalAttrs (
        features.opnix && cfg.enable
      ) config.services.onepassword-secrets.secretPaths;
      defaultText = lib.literalMD "the file of each item";
      description = "Where each secret's file is; empty while secrets are off.";
    };

    environmentFiles = mkOption {
      type = types.attrsOf types.str;
      readOnly = true;
      default = lib.optionalAttrs cfg.enable (lib.mapAttrs (file: _: environmentFile file) cfg.templates);
      defaultText = lib.literalMD "the file of each template";
      description = "Where each template's file is; empty while secrets are off.";
    };
  };

  config = lib.mkMerge [
    (lib.mkIf cfg.enable {
      assertions = [
        {
          assertion = features.opnix;
          message = "pantherOS.security.secrets.opnix needs OpNix: add \"opnix\" to the features of ${host.name} in hosts.toml and run `panther generate`.";
        }
        {
          assertion = secrets.problems == [ ];
          message = lib.concatStringsSep "\n" secrets.problems;
        }
      ]
      ++ lib.mapAttrsToList (name: secret: {
        assertion = lib.elem secret.item (lib.attrValues secrets.map);
        message = "pantherOS.security.secrets.opnix.items.${name}: ${secret.item} is not in secrets/map.nix, the one list of secrets; add it there.";
      }) cfg.items
      ++ map (file: {
        assertion = secrets.templates ? ${file};
        message = "pantherOS.security.secrets.opnix.templates.\"${file}\": there is no secrets/templates/${file}.";
      }) (lib.attrNames cfg.templates);

      pantherOS.security.secrets.opnix.items = lib.mkMerge (
        lib.mapAttrsToList (
          file: _:
          lib.genAttrs (lib.optionals (secrets.templates ? ${file}) (namesIn file)) (_: {
            services = [ "secrets-ready" ];
          })
        ) cfg.templates
      );
    })

    (lib.optionalAttrs features.opnix {
      services.onepassword-secrets = lib.mkIf cfg.enable {
        enable = true;
        inherit (cfg) tokenFile;
        secrets = lib.mapAttrs (_: secret: {
          reference = secrets.reference secret.item;
          inherit (secret)
            owner
            group
            mode
            services
            ;
        }) cfg.items;
      };

      systemd.services = lib.mkIf (cfg.enable && cfg.items != { }) (
        lib.mkMerge (
          [
            {
              secrets-ready = {
                description = "Secrets of this machine: what is missing, and environment files";
                wantedBy = [ "multi-user.target" ];
                wants = [ "opnix-secrets.service" ];
                after = [ "opnix-secrets.service" ];
                serviceConfig = {
                  Type = "oneshot";
                  RemainAfterExit = true;
                  RuntimeDirectory = "secrets-env";
                  RuntimeDirectoryMode = "0751";
                  UMask = "0077";
                  PrivateNetwork = true;
                  ProtectHome = true;
                  ProtectSystem = "strict";
                  NoNewPrivileges = true;
                };
                script = ''
                  missing=0
                ''
                + lib.concatStrings (lib.mapAttrsToList check cfg.items)
                + lib.concatStrings (
                  lib.mapAttrsToList render (lib.filterAttrs (file: _: secrets.templates ? ${file}) cfg.templates)
                )
                + ''
                  [ "$missing" = 0 ] || {
                    echo "set the token with 'opnix token set' or check the network, then 'systemctl restart opnix-secrets secrets-ready'" >&2
                    exit 1
                  }
                '';
              };
            }
          ]
          ++ lib.mapAttrsToList (
            _: template:
            lib.genAttrs template.services (_: {
              wants = [ "secrets-ready.service" ];
              after = [ "secrets-ready.service" ];
              partOf = [ "secrets-ready.service" ];
            })
          ) cfg.templates
        )
      );
    })
  ];
}
