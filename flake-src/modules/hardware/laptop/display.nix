# The built-in panel: brightness, rotation with the machine, touch and pen, and
# a convertible's tablet mode. Resolution and scale are in
# pantherOS.hardware.display.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.hardware.laptop.display;
  niri = config.pantherOS.desktop.compositor.niri;
  panel = builtins.toJSON cfg.panel;
  brightness =
    arguments: "spawn \"${lib.getExe pkgs.brightnessctl}\" \"--class=backlight\" ${arguments}";
  keyboardUnit = "on-screen-keyboard.service";
  session = {
    after = [ "graphical-session.target" ];
    partOf = [ "graphical-session.target" ];
  };
in
{
  options.pantherOS.hardware.laptop.display = {
    enable = lib.mkEnableOption "the built-in panel's keys and sensors";

    panel = mkOption {
      type = types.singleLineStr;
      default = "eDP-1";
      example = "eDP-2";
      description = "The panel, as `niri msg outputs` calls it.";
    };

    autoRotate = lib.mkEnableOption "turning of the picture with the machine, by its orientation sensor";

    touch = lib.mkEnableOption "touch and pen on the panel";

    notes = lib.mkEnableOption "Rnote, for writing and drawing with the pen";

    tabletMode = lib.mkEnableOption "a keyboard on the screen while a convertible is folded";
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.autoRotate || cfg.touch || cfg.tabletMode -> niri.enable;
        message = "pantherOS.hardware.laptop.display.{autoRotate,touch,tabletMode} work through niri: set pantherOS.desktop.compositor.niri.enable too.";
      }
    ];

    # It asks logind, so nobody needs rights to the device.
    environment.systemPackages = [ pkgs.brightnessctl ] ++ lib.optional cfg.notes pkgs.rnote;

    hardware.sensor.iio.enable = lib.mkIf cfg.autoRotate true;

    pantherOS.desktop.compositor.niri = {
      binds = {
        "XF86MonBrightnessUp allow-when-locked=true" = brightness "\"set\" \"+5%\"";
        # Never to darkness: one would not find the key again.
        "XF86MonBrightnessDown allow-when-locked=true" = brightness "\"--min-value=1\" \"set\" \"5%-\"";
      };
      sections = lib.mkMerge [
        # Fingers and pen belong to this panel, also when others are connected.
        (lib.mkIf cfg.touch {
          input = ''
            touch {
              map-to-output ${panel}
            }
            tablet {
              map-to-output ${panel}
            }
          '';
        })
        (lib.mkIf cfg.tabletMode {
          switch-events = ''
            tablet-mode-on { spawn "systemctl" "--user" "start" "${keyboardUnit}"; }
            tablet-mode-off { spawn "systemctl" "--user" "stop" "${keyboardUnit}"; }
          '';
        })
      ];
    };

    systemd.user.services = {
      rotate-panel = lib.mkIf cfg.autoRotate (
        session
        // {
          description = "Turn the picture with the machine";
          wantedBy = [ "graphical-session.target" ];
          path = [
            niri.package
            pkgs.iio-sensor-proxy
          ];
          # The sensor says which edge is up; niri turns counter-clockwise.
          script = ''
            monitor-sensor --accel | while read -r line; do
              case $line in
                *left-up*) turn=90 ;;
                *bottom-up*) turn=180 ;;
                *right-up*) turn=270 ;;
                *normal*) turn=normal ;;
                *) continue ;;
              esac
              niri msg output ${lib.escapeShellArg cfg.panel} transform "$turn"
            done
          '';
          serviceConfig = {
            Restart = "on-failure";
            RestartSec = 5;
          };
        }
      );
      # Started and stopped by niri, see above.
      on-screen-keyboard = lib.mkIf cfg.tabletMode (
        session
        // {
          description = "Keyboard on the screen";
          serviceConfig.ExecStart = "${pkgs.wvkbd}/bin/wvkbd-mobintl -L 300";
        }
      );
    };
  };
}
