# programs.niri and niri-flake.cache, as far as they are used here.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.programs.niri;
in
{
  options.programs.niri = {
    enable = lib.mkEnableOption "niri";
    package = lib.mkPackageOption pkgs "niri" { };
  };
  options.niri-flake.cache.enable = lib.mkEnableOption "the niri-flake binary cache" // {
    default = true;
  };

  config = lib.mkMerge [
    { standIn.tables = [ ./options.nix ]; }
    (lib.mkIf config.niri-flake.cache.enable {
      nix.settings.substituters = [ "https://niri.cachix.org" ];
    })
    (lib.mkIf cfg.enable {
      environment.systemPackages = [
        cfg.package
        pkgs.xdg-utils
      ];
      hardware.graphics.enable = lib.mkDefault true;
      programs.dconf.enable = true;
      security.polkit.enable = true;
      security.pam.services.swaylock = { };
      services.gnome.gnome-keyring.enable = true;
      xdg.portal = {
        enable = true;
        extraPortals = [ pkgs.xdg-desktop-portal-gnome ];
      };
      systemd.user.services.niri-flake-polkit = {
        description = "PolicyKit Authentication Agent";
        wantedBy = [ "niri.service" ];
        serviceConfig.ExecStart = "${pkgs.polkit}/bin/pkexec";
      };
    })
  ];
}
