# GTK programs: their theme, and dark or light. Set as the default of dconf,
# where GTK looks on Wayland; a person may choose otherwise.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.desktop.theming.gtk-themes;
  colors = config.pantherOS.desktop.theming.color-schemes;
in
{
  options.pantherOS.desktop.theming.gtk-themes = {
    enable = lib.mkEnableOption "a theme for GTK programs";

    theme = mkOption {
      type = types.singleLineStr;
      default = if cfg.dark then "adw-gtk3-dark" else "adw-gtk3";
      defaultText = lib.literalMD "`adw-gtk3-dark`, or `adw-gtk3` when `dark` is off";
      example = "Adwaita";
      description = "Theme of GTK 3 programs; this one makes them look like those of GTK 4.";
    };

    package = lib.mkPackageOption pkgs "adw-gtk3" { extraDescription = "It has the theme."; };

    dark = mkOption {
      type = types.bool;
      default = !colors.enable || colors.current.dark;
      defaultText = lib.literalMD "what the colour scheme is, else dark";
      description = "Whether programs are asked to be dark.";
    };
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = [
      cfg.package
      # Without the schemas GTK does not find the settings.
      pkgs.gsettings-desktop-schemas
    ];

    programs.dconf = {
      enable = true;
      profiles.user.databases = [
        {
          settings."org/gnome/desktop/interface" = {
            gtk-theme = cfg.theme;
            color-scheme = if cfg.dark then "prefer-dark" else "prefer-light";
          };
        }
      ];
    };
  };
}
