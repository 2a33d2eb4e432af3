# A proxy between the machine and the rest of the world, for programs and for
# Nix's downloads alike.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.networking.proxy;
in
{
  options.pantherOS.networking.proxy = {
    enable = lib.mkEnableOption "a proxy for HTTP, HTTPS and FTP";

    url = mkOption {
      # Every login has it in its environment, so no password in it.
      type = types.nullOr (types.strMatching "(https?|socks5h?)://[^@]+");
      default = null;
      example = "http://proxy.example.org:3128";
      description = "The proxy, without user name and password: everybody on the machine can read it.";
    };

    direct = mkOption {
      type = types.listOf types.str;
      default = [
        "127.0.0.1"
        "localhost"
        "::1"
        ".ts.net"
      ];
      example = [
        "localhost"
        ".intranet.example.org"
      ];
      description = "Hosts that are reached without it; .ts.net is Tailscale's.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.url != null;
        message = "pantherOS.networking.proxy: say which, in pantherOS.networking.proxy.url.";
      }
    ];

    networking.proxy = {
      default = cfg.url;
      noProxy = lib.concatStringsSep "," cfg.direct;
    };
  };
}
