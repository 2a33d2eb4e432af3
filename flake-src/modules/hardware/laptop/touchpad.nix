# Touchpad: taps, scrolling, gestures, and quiet while typing. On Wayland it is
# the compositor that sets libinput up.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.hardware.laptop.touchpad;
  bool =
    default: description:
    mkOption {
      type = types.bool;
      inherit default description;
    };
in
{
  options.pantherOS.hardware.laptop.touchpad = {
    enable = lib.mkEnableOption "the touchpad's settings in niri";

    tap = bool true "Whether a tap is a click; with two fingers the right one.";
    naturalScroll = bool true "Whether the page follows the fingers.";
    disableWhileTyping = bool true "Whether the palm is ignored while keys are pressed.";
    disableWithMouse = bool false "Whether the touchpad is off while a mouse is plugged in.";

    speed = mkOption {
      type = types.strMatching "-?(0(\\.[0-9]+)?|1(\\.0+)?)";
      default = "0.2";
      example = "-0.3";
      description = "Speed of the pointer, from -1 to 1.";
    };

    hotCorner = bool false "Whether the pointer in the top left corner opens the overview.";
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = config.pantherOS.desktop.compositor.niri.enable;
        message = "pantherOS.hardware.laptop.touchpad sets the touchpad up in niri: set pantherOS.desktop.compositor.niri.enable too.";
      }
    ];

    pantherOS.desktop.compositor.niri.sections = {
      input = ''
        touchpad {
          ${lib.optionalString cfg.tap "tap"}
          ${lib.optionalString cfg.naturalScroll "natural-scroll"}
          ${lib.optionalString cfg.disableWhileTyping "dwt"}
          ${lib.optionalString cfg.disableWithMouse "disabled-on-external-mouse"}
          accel-speed ${cfg.speed}
          click-method "clickfinger"
        }
      '';
      # Three fingers move between columns and workspaces without being told
      # so; the corner is the one gesture to choose.
      gestures = ''
        hot-corners {
          ${lib.optionalString (!cfg.hotCorner) "off"}
        }
      '';
    };
  };
}
