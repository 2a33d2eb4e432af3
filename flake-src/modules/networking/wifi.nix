# Wi-Fi in NetworkManager: privacy, power, and the networks that are known from
# the start. Drivers and the country's rules are in hardware/connectivity.
{
  config,
  lib,
  features,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.networking.wifi;
  secrets = config.pantherOS.security.secrets.opnix;
  haveSecrets = features.opnix && secrets.enable;
  passwords = "/run/wifi-passwords/environment";

  # The network home has its password in the secret wifiHome and, for
  # NetworkManager's profile, in the variable WIFI_HOME.
  secretOf = name: "wifi" + lib.toUpper (builtins.substring 0 1 name) + builtins.substring 1 99 name;
  variableOf = name: "WIFI_" + lib.toUpper name;
  secured = lib.filterAttrs (_: network: network.passwordItem != null) cfg.networks;
in
{
  options.pantherOS.networking.wifi = {
    enable = lib.mkEnableOption "Wi-Fi settings for NetworkManager";

    powersave = mkOption {
      type = types.nullOr types.bool;
      default = null;
      example = true;
      description = "Whether the radio sleeps between packets: longer on battery, slower to answer. Null leaves it to the driver, and to TLP where the machine has a battery.";
    };

    hideAddress = mkOption {
      type = types.bool;
      default = true;
      description = "Whether each network sees another hardware address, always the same one, so that the machine cannot be followed from network to network.";
    };

    networks = mkOption {
      default = { };
      example = {
        home = {
          ssid = "Panther's Den";
          passwordItem = "credentials/wifi/home/password";
        };
      };
      description = "Networks known from the start, by a name of one's own in letters and digits; others are chosen on the machine and stay there.";
      type = types.attrsOf (
        types.submodule {
          options = {
            ssid = mkOption {
              type = types.nonEmptyStr;
              description = "Name of the network.";
            };
            passwordItem = mkOption {
              type = types.nullOr types.str;
              default = null;
              description = "Where its password (WPA2 or WPA3) is in the vault, one of secrets/map.nix; null for an open network.";
            };
          };
        }
      );
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = config.networking.networkmanager.enable;
        message = "pantherOS.networking.wifi configures NetworkManager: set pantherOS.networking.workstation-net.enable.";
      }
      {
        assertion = secured == { } || haveSecrets;
        message = "pantherOS.networking.wifi.networks: the passwords are in the vault; set pantherOS.security.secrets.opnix.enable.";
      }
      {
        assertion = lib.all (name: builtins.match "[a-z][a-zA-Z0-9]*" name != null) (
          lib.attrNames cfg.networks
        );
        message = "pantherOS.networking.wifi.networks: names are a lower-case letter, then letters and digits; the network's own name is its ssid.";
      }
    ];

    networking.networkmanager = {
      wifi = {
        inherit (cfg) powersave;
        macAddress = if cfg.hideAddress then "stable" else "permanent";
        # While it looks for networks, too.
        scanRandMacAddress = cfg.hideAddress;
      };

      ensureProfiles = {
        environmentFiles = lib.mkIf (secured != { } && haveSecrets) [ passwords ];
        profiles = lib.mapAttrs (
          name: network:
          {
            connection = {
              id = name;
              type = "wifi";
            };
            wifi = {
              mode = "infrastructure";
              inherit (network) ssid;
            };
            ipv4.method = "auto";
            ipv6.method = "auto";
          }
          // lib.optionalAttrs (network.passwordItem != null) {
            wifi-security = {
              key-mgmt = "wpa-psk";
              psk = "$" + variableOf name;
            };
          }
        ) cfg.networks;
      };
    };

    pantherOS.security.secrets.opnix.items = lib.mapAttrs' (
      name: network:
      lib.nameValuePair (secretOf name) {
        item = network.passwordItem;
        services = [ "wifi-passwords" ];
      }
    ) secured;

    # NetworkManager's profiles take values from a file of variables: it is made
    # of the secrets, in memory, quoted as systemd reads it.
    systemd.services.wifi-passwords = lib.mkIf (secured != { } && haveSecrets) {
      description = "Passwords of the Wi-Fi networks";
      requiredBy = [ "NetworkManager-ensure-profiles.service" ];
      before = [ "NetworkManager-ensure-profiles.service" ];
      script = ''
        set -eu
        {
        ${lib.concatLines (
          lib.mapAttrsToList (name: _: ''
            printf '${variableOf name}="%s"\n' "$(sed 's/[\\"$`]/\\&/g' "$CREDENTIALS_DIRECTORY/${name}")"
          '') secured
        )}
        } >${passwords}
      '';
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        RuntimeDirectory = "wifi-passwords";
        RuntimeDirectoryMode = "0700";
        UMask = "0077";
        LoadCredential = lib.mapAttrsToList (name: _: "${name}:${secrets.paths.${secretOf name}}") secured;
      };
    };
  };
}
