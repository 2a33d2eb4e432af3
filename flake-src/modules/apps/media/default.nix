# Watching, listening, looking at pictures.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.pantherOS.apps.media;
in
{
  options.pantherOS.apps.media = {
    enable = lib.mkEnableOption "media players and viewers";
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = [
      pkgs.ffmpeg
      pkgs.imv
      pkgs.mpv
    ];
  };
}
