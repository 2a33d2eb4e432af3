# VPNs other than Tailscale: WireGuard tunnels to given machines, and OpenVPN in
# NetworkManager for those that somebody imports by hand.
{
  config,
  lib,
  pkgs,
  features,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.services.networking.vpn;
  secrets = config.pantherOS.security.secrets.opnix;
  haveSecrets = features.opnix && secrets.enable;

  # The tunnel work-1 has its key in the secret vpnWork1.
  secretOf =
    name:
    "vpn"
    + lib.concatMapStrings (
      part: lib.toUpper (builtins.substring 0 1 part) + builtins.substring 1 99 part
    ) (lib.splitString "-" name);
in
{
  options.pantherOS.services.networking.vpn = {
    enable = lib.mkEnableOption "VPN clients: WireGuard, and OpenVPN in NetworkManager";

    tunnels = mkOption {
      default = { };
      example = lib.literalExpression ''
        {
          work = {
            addresses = [ "10.8.0.2/32" ];
            keyItem = "credentials/vpn/work/privateKey";
            server = "vpn.example.org:51820";
            serverKey = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
            networks = [ "10.8.0.0/16" ];
          };
        }
      '';
      description = "WireGuard tunnels, by name; the network interface has the same name, of 15 characters at most.";
      type = types.attrsOf (
        types.submodule {
          options = {
            addresses = mkOption {
              type = types.nonEmptyListOf types.str;
              description = "This machine's addresses in the tunnel, with the length of the prefix.";
            };
            keyItem = mkOption {
              type = types.str;
              description = "Where this machine's private key is in the vault, one of secrets/map.nix.";
            };
            server = mkOption {
              type = types.strMatching ".+:[0-9]+";
              description = "Host and port at the other end.";
            };
            serverKey = mkOption {
              type = types.strMatching "[A-Za-z0-9+/]{43}=";
              description = "The other end's public key.";
            };
            networks = mkOption {
              type = types.nonEmptyListOf types.str;
              description = "What is reached through the tunnel; 0.0.0.0/0 and ::/0 for everything.";
            };
            dns = mkOption {
              type = types.listOf types.str;
              default = [ ];
              description = "Name servers while the tunnel is up.";
            };
            autostart = mkOption {
              type = types.bool;
              default = false;
              description = "Whether the tunnel is up from boot; otherwise `systemctl start wg-quick-<name>`.";
            };
          };
        }
      );
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.tunnels == { } || haveSecrets;
        message = "pantherOS.services.networking.vpn.tunnels: the private keys are in the vault; set pantherOS.security.secrets.opnix.enable.";
      }
      {
        assertion = lib.all (name: builtins.match "[a-z][a-z0-9-]{0,14}" name != null) (
          lib.attrNames cfg.tunnels
        );
        message = "pantherOS.services.networking.vpn.tunnels: each name becomes a network interface: lower-case letters, digits and dashes, 15 at most.";
      }
    ];

    pantherOS.security.secrets.opnix.items = lib.mapAttrs' (
      name: tunnel:
      lib.nameValuePair (secretOf name) {
        item = tunnel.keyItem;
        services = lib.optional tunnel.autostart "wg-quick-${name}";
      }
    ) cfg.tunnels;

    networking.wg-quick.interfaces = lib.mkIf haveSecrets (
      lib.mapAttrs (name: tunnel: {
        inherit (tunnel) autostart dns;
        address = tunnel.addresses;
        privateKeyFile = secrets.paths.${secretOf name};
        peers = [
          {
            endpoint = tunnel.server;
            publicKey = tunnel.serverKey;
            allowedIPs = tunnel.networks;
            # A machine behind NAT stays reachable.
            persistentKeepalive = 25;
          }
        ];
      }) cfg.tunnels
    );

    networking.networkmanager.plugins = lib.mkIf config.networking.networkmanager.enable [
      pkgs.networkmanager-openvpn
    ];

    # `wg` shows what a tunnel does.
    environment.systemPackages = [ pkgs.wireguard-tools ];
  };
}
