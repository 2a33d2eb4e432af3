# programs.dank-material-shell, as far as it is used here.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.programs.dank-material-shell;
in
{
  options.programs.dank-material-shell = {
    enable = lib.mkEnableOption "DankMaterialShell";
    systemd.enable = lib.mkEnableOption "DankMaterialShell's start by systemd";
    quickshell.package = lib.mkPackageOption pkgs "quickshell" { };
  };

  config = lib.mkMerge [
    { standIn.tables = [ ./options.nix ]; }
    (lib.mkIf cfg.enable {
    environment.systemPackages = [
      cfg.quickshell.package
      pkgs.cava
      pkgs.dgop
      pkgs.dms-shell
      pkgs.matugen
    ];
    fonts.packages = [ pkgs.material-symbols ];
    services.power-profiles-daemon.enable = lib.mkDefault true;
    systemd.user.services.dms = lib.mkIf cfg.systemd.enable {
      description = "DankMaterialShell";
      wantedBy = [ "graphical-session.target" ];
      serviceConfig.ExecStart = "${lib.getExe pkgs.dms-shell} run --session";
    };
  })
  ];
}
