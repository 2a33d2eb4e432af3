# Fonts: one family for each purpose, and all of Unicode.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.pantherOS.desktop.theming.font-management;
in
{
  options.pantherOS.desktop.theming.font-management = {
    enable = lib.mkEnableOption "fonts";
  };

  config = lib.mkIf cfg.enable {
    fonts = {
      packages = [
        pkgs.inter
        pkgs.nerd-fonts.jetbrains-mono
        pkgs.noto-fonts
        pkgs.noto-fonts-color-emoji
      ];
      fontconfig.defaultFonts = {
        sansSerif = [
          "Inter"
          "Noto Sans"
        ];
        serif = [ "Noto Serif" ];
        monospace = [ "JetBrainsMono Nerd Font" ];
        emoji = [ "Noto Color Emoji" ];
      };
    };
  };
}
