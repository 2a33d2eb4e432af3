# Screens: resolution, refresh rate, scale, where they are, colours.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.hardware.display;

  output = types.submodule (
    { config, ... }:
    {
      options = {
        mode = mkOption {
          type = types.nullOr (
            types.submodule {
              options = {
                width = mkOption {
                  type = types.ints.positive;
                  description = "Pixels across.";
                };
                height = mkOption {
                  type = types.ints.positive;
                  description = "Pixels down.";
                };
                refresh = mkOption {
                  type = types.nullOr (types.strMatching "[0-9]+\\.[0-9]{3}");
                  default = null;
                  example = "165.003";
                  description = "Rate in Hz, to the digit as `niri msg outputs` says it; null for the highest that the screen has at this resolution.";
                };
              };
            }
          );
          default = null;
          example = {
            width = 2560;
            height = 1600;
          };
          description = "Resolution; null for the one that the screen prefers.";
        };

        scale = mkOption {
          type = types.strMatching "[1-4](\\.[0-9]+)?";
          default = "1";
          example = "1.5";
          description = "How much larger everything is.";
        };

        transform = mkOption {
          type = types.enum [
            "normal"
            "90"
            "180"
            "270"
          ];
          default = "normal";
          description = "By how many degrees the picture is turned, counter-clockwise.";
        };

        position = mkOption {
          type = types.nullOr (
            types.submodule {
              options = lib.genAttrs [ "x" "y" ] (
                axis:
                mkOption {
                  type = types.int;
                  description = "Logical pixels, ${axis}.";
                }
              );
            }
          );
          default = null;
          description = "Where it is beside the others; null to let niri choose.";
        };

        variableRefreshRate = mkOption {
          type = types.enum [
            false
            true
            "on-demand"
          ];
          default = false;
          description = "Adaptive sync; `on-demand` for windows alone whose rule asks for it, since some panels flicker.";
        };

        colorProfile = mkOption {
          type = types.nullOr types.path;
          default = null;
          example = lib.literalExpression "./panel.icc";
          description = "The screen's ICC profile, as its maker or a measurement made it, for `colorManagement`.";
        };

        focusAtStartup = mkOption {
          type = types.bool;
          default = false;
          description = "Whether it has the focus after login.";
        };

        logicalWidth = mkOption {
          type = types.nullOr types.int;
          readOnly = true;
          internal = true;
          default =
            if config.mode == null then
              null
            else
              let
                across =
                  if
                    lib.elem config.transform [
                      "90"
                      "270"
                    ]
                  then
                    config.mode.height
                  else
                    config.mode.width;
              in
              builtins.ceil (across / (builtins.fromJSON config.scale * 1.0));
          description = "Width after scale and rotation.";
        };
      };
    }
  );

  # colord finds profiles in the data folders of all programs.
  profiles = lib.filterAttrs (_: o: o.colorProfile != null) cfg.outputs;
  profileFolder = pkgs.runCommand "color-profiles" { } ''
    mkdir -p $out/share/color/icc/pantherOS
    ${lib.concatLines (
      lib.mapAttrsToList (
        name: o: "cp ${o.colorProfile} $out/share/color/icc/pantherOS/${lib.escapeShellArg name}.icc"
      ) profiles
    )}
  '';

  render =
    name: o:
    lib.concatLines (
      [ "output ${builtins.toJSON name} {" ]
      ++
        lib.optional (o.mode != null)
          "  mode \"${toString o.mode.width}x${toString o.mode.height}${
            lib.optionalString (o.mode.refresh != null) "@${o.mode.refresh}"
          }\""
      ++ [
        "  scale ${o.scale}"
        "  transform \"${o.transform}\""
      ]
      ++ lib.optional (
        o.position != null
      ) "  position x=${toString o.position.x} y=${toString o.position.y}"
      ++ lib.optional (o.variableRefreshRate != false)
        "  variable-refresh-rate${lib.optionalString (o.variableRefreshRate == "on-demand") " on-demand=true"}"
      ++ lib.optional o.focusAtStartup "  focus-at-startup"
      ++ [ "}" ]
    );
in
{
  options.pantherOS.hardware.display = {
    enable = lib.mkEnableOption "the settings of this machine's screens in niri";

    outputs = mkOption {
      type = types.attrsOf output;
      default = { };
      example = lib.literalExpression ''
        { "eDP-1" = { mode = { width = 2560; height = 1600; }; scale = "1.5"; }; }
      '';
      description = "Screens by connector, as `niri msg outputs` calls them.";
    };

    colorManagement = lib.mkEnableOption "colord, which gives programs a screen's colour profile, and the tools to measure one (ArgyllCMS). niri itself does not apply profiles";
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = config.pantherOS.desktop.compositor.niri.enable;
        message = "pantherOS.hardware.display sets screens up in niri: set pantherOS.desktop.compositor.niri.enable too.";
      }
      {
        assertion = cfg.outputs != { } || cfg.colorManagement;
        message = "pantherOS.hardware.display is on and says nothing: name this machine's screens in `outputs`.";
      }
      {
        assertion = profiles == { } || cfg.colorManagement;
        message = "pantherOS.hardware.display.outputs.*.colorProfile is read by colord: set pantherOS.hardware.display.colorManagement too.";
      }
    ];

    pantherOS.desktop.compositor.niri.extraConfig = lib.concatStrings (
      lib.mapAttrsToList render cfg.outputs
    );

    services.colord.enable = lib.mkIf cfg.colorManagement true;
    environment.systemPackages = lib.optionals cfg.colorManagement (
      [ pkgs.argyllcms ] ++ lib.optional (profiles != { }) profileFolder
    );
    environment.pathsToLink = lib.mkIf cfg.colorManagement [ "/share/color" ];
  };
}
