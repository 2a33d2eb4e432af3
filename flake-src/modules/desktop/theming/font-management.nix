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

    size = lib.mkOption {
      type = lib.types.ints.between 6 30;
      default = 11;
      example = 13;
      description = "Size of the text in windows, in points.";
    };
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

    # GTK asks dconf, not fontconfig, what its own font is.
    programs.dconf = {
      enable = true;
      profiles.user.databases = [
        {
          settings."org/gnome/desktop/interface" = {
            font-name = "Inter ${toString cfg.size}";
            document-font-name = "Inter ${toString cfg.size}";
            monospace-font-name = "JetBrainsMono Nerd Font ${toString cfg.size}";
          };
        }
      ];
    };
  };
}
