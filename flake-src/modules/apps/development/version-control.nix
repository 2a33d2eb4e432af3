# Git and what goes with it.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.pantherOS.apps.development.version-control;
in
{
  options.pantherOS.apps.development.version-control = {
    enable = lib.mkEnableOption "Git, Git LFS, GitHub's client and two viewers";
  };

  config = lib.mkIf cfg.enable {
    programs.git = {
      enable = true;
      lfs.enable = true;
    };

    environment.systemPackages = [
      pkgs.delta
      pkgs.gh
      pkgs.lazygit
    ];
  };
}
