# Keyboard: its layout in niri, and the light under the keys.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.hardware.laptop.keyboard;
  brightnessctl = lib.getExe pkgs.brightnessctl;
in
{
  options.pantherOS.hardware.laptop.keyboard = {
    enable = lib.mkEnableOption "the keyboard's layout and light";

    layout = mkOption {
      type = types.strMatching "[a-z,]+";
      default = "us";
      example = "us,de";
      description = "Layouts of XKB, the first being the usual one. The console's is pantherOS.base.time-locale.keyMap.";
    };

    variant = mkOption {
      type = types.singleLineStr;
      default = "";
      example = "altgr-intl";
      description = "Variants of the layouts, in their order.";
    };

    options = mkOption {
      type = types.listOf types.singleLineStr;
      default = [ "compose:ralt" ];
      example = [ "ctrl:nocaps" ];
      description = "Options of XKB.";
    };

    backlight = mkOption {
      type = types.nullOr types.singleLineStr;
      default = "*::kbd_backlight";
      example = "asus::kbd_backlight";
      description = "The light under the keys, as `brightnessctl --list` calls it; null where there is none.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = config.pantherOS.desktop.compositor.niri.enable;
        message = "pantherOS.hardware.laptop.keyboard sets the keyboard up in niri: set pantherOS.desktop.compositor.niri.enable too.";
      }
    ];

    environment.systemPackages = lib.mkIf (cfg.backlight != null) [ pkgs.brightnessctl ];
    pantherOS.desktop.compositor.niri.sections.input = ''
      keyboard {
        xkb {
          layout "${cfg.layout}"
          variant "${cfg.variant}"
          options "${lib.concatStringsSep "," cfg.options}"
        }
      }
    '';
    pantherOS.desktop.compositor.niri.binds = lib.mkIf (cfg.backlight != null) {
      "XF86KbdBrightnessUp allow-when-locked=true" =
        "spawn \"${brightnessctl}\" \"--device=${cfg.backlight}\" \"set\" \"+1\"";
      "XF86KbdBrightnessDown allow-when-locked=true" =
        "spawn \"${brightnessctl}\" \"--device=${cfg.backlight}\" \"set\" \"1-\"";
    };
  };
}
