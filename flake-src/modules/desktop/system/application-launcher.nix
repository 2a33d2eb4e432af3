# Starting programs: a key, and a list to type into. DankMaterialShell's where
# that is on, fuzzel elsewhere.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.desktop.system.application-launcher;
  dms = config.pantherOS.desktop.theming.dankmaterialshell.enable;
in
{
  options.pantherOS.desktop.system.application-launcher = {
    enable = lib.mkEnableOption "an application launcher";

    key = mkOption {
      type = types.singleLineStr;
      default = "Mod+Space";
      example = "Mod+D";
      description = "The key that opens it.";
    };

    terminal = mkOption {
      type = types.singleLineStr;
      default = "foot -e";
      example = "alacritty -e";
      description = "What fuzzel starts programs of the terminal with.";
    };

    colors = mkOption {
      type = types.attrsOf (types.strMatching "[0-9a-f]{8}");
      default = { };
      example = {
        background = "1e1e2eff";
      };
      description = "Colours of fuzzel, by its own names, with their opacity.";
    };
  };

  config = lib.mkIf cfg.enable {
    environment = lib.mkIf (!dms) {
      systemPackages = [ pkgs.fuzzel ];
      etc."xdg/fuzzel/fuzzel.ini".text = lib.generators.toINI { } {
        main = {
          inherit (cfg) terminal;
          layer = "overlay";
        };
        inherit (cfg) colors;
      };
    };

    # The desktop files and icons it lists.
    xdg.menus.enable = true;
    xdg.icons.enable = true;

    pantherOS.desktop.compositor.niri.binds.${cfg.key} =
      if dms then "spawn \"dms\" \"ipc\" \"call\" \"spotlight\" \"toggle\"" else "spawn \"fuzzel\"";
  };
}
