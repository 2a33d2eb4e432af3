# niri, the scrolling Wayland compositor, and the login screen before it.
{
  config,
  lib,
  pkgs,
  features,
  host,
  ...
}:
let
  cfg = config.pantherOS.desktop.compositor.niri;
  # It was greetd.tuigreet before it was tuigreet.
  tuigreet = pkgs.tuigreet or pkgs.greetd.tuigreet;
in
{
  options.pantherOS.desktop.compositor.niri = {
    enable = lib.mkEnableOption "the niri compositor";

    package = lib.mkPackageOption pkgs "niri" {
      extraDescription = "That of nixpkgs: niri-flake's own would be fetched during evaluation.";
    };
  };

  config = lib.mkMerge [
    (lib.mkIf cfg.enable {
      assertions = [
        {
          assertion = features.niri;
          message = "pantherOS.desktop.compositor.niri needs niri-flake: add \"niri\" to the features of ${host.name} in hosts.toml and run `panther generate`.";
        }
      ];

      services.greetd = {
        enable = true;
        settings.default_session = {
          command = "${lib.getExe tuigreet} --time --remember --cmd niri-session";
          user = "greeter";
        };
      };

      # X11 programs run in a small server of their own, which niri starts.
      environment.systemPackages = [
        pkgs.wl-clipboard
        pkgs.xwayland-satellite
      ];

      # Electron and Chromium speak Wayland when they are told so.
      environment.sessionVariables.NIXOS_OZONE_WL = "1";
    })

    (lib.optionalAttrs features.niri {
      programs.niri = lib.mkIf cfg.enable {
        enable = true;
        inherit (cfg) package;
      };
      # Everything comes from our own cache, or is built.
      niri-flake.cache.enable = lib.mkIf cfg.enable false;
    })
  ];
}
