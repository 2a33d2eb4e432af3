# Icons and the pointer.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.desktop.theming.icon-themes;
in
{
  options.pantherOS.desktop.theming.icon-themes = {
    enable = lib.mkEnableOption "a theme of icons and of pointers";

    name = mkOption {
      type = types.singleLineStr;
      default = "Papirus-Dark";
      example = "Papirus-Light";
      description = "The icons.";
    };

    package = lib.mkPackageOption pkgs "papirus-icon-theme" { extraDescription = "It has the icons."; };

    cursor = {
      name = mkOption {
        type = types.singleLineStr;
        default = "Bibata-Modern-Classic";
        example = "Bibata-Modern-Ice";
        description = "The pointer.";
      };

      package = lib.mkPackageOption pkgs "bibata-cursors" { extraDescription = "It has the pointer."; };

      size = mkOption {
        type = types.ints.between 16 96;
        default = 24;
        example = 32;
        description = "Size of the pointer, in logical pixels.";
      };
    };
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = [
      cfg.package
      cfg.cursor.package
      # What a theme lacks is taken from these two.
      pkgs.adwaita-icon-theme
      pkgs.hicolor-icon-theme
    ];

    programs.dconf = {
      enable = true;
      profiles.user.databases = [
        {
          settings."org/gnome/desktop/interface" = {
            icon-theme = cfg.name;
            cursor-theme = cfg.cursor.name;
            cursor-size = lib.gvariant.mkInt32 cfg.cursor.size;
          };
        }
      ];
    };

    # niri draws the pointer, and tells it the programs that draw their own.
    pantherOS.desktop.compositor.niri.sections.cursor = ''
      xcursor-theme ${builtins.toJSON cfg.cursor.name}
      xcursor-size ${toString cfg.cursor.size}
    '';
  };
}
