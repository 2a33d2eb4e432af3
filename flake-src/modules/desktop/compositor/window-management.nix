# Windows of niri: how large, how far apart, which float, and the keys for them.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.desktop.compositor.window-management;
  quote = builtins.toJSON;

  rule =
    r:
    lib.concatLines (
      [ "window-rule {" ]
      ++ map (
        m:
        "match ${
          lib.concatStringsSep " " (
            lib.mapAttrsToList (name: pattern: "${name}=${quote pattern}") (
              lib.filterAttrs (_: pattern: pattern != null) m
            )
          )
        }"
      ) r.matches
      ++ r.actions
      ++ [ "}" ]
    );

  pattern = mkOption {
    type = types.nullOr types.singleLineStr;
    default = null;
    example = "^firefox$";
    description = "Regular expression that it must fit.";
  };
in
{
  options.pantherOS.desktop.compositor.window-management = {
    enable = lib.mkEnableOption "niri's layout, window rules and the keys for windows";

    gaps = mkOption {
      type = types.ints.unsigned;
      default = 8;
      example = 0;
      description = "Room around windows, in logical pixels.";
    };

    columnWidth = mkOption {
      type = types.strMatching "0\\.[0-9]+|1\\.0";
      default = "0.5";
      example = "0.33333";
      description = "Width of a new window, as part of the screen's.";
    };

    rules = mkOption {
      default = [ ];
      example = lib.literalExpression ''[ { matches = [ { app-id = "^mpv$"; } ]; actions = [ "open-fullscreen true" ]; } ]'';
      description = "Window rules, in this order; of two that fit, the later wins.";
      type = types.listOf (
        types.submodule {
          options = {
            matches = mkOption {
              description = "Which windows: those that fit one of these.";
              default = [ ];
              type = types.listOf (
                types.submodule {
                  options = {
                    app-id = pattern;
                    title = pattern;
                  };
                }
              );
            };
            actions = mkOption {
              type = types.listOf types.singleLineStr;
              example = [ "open-floating true" ];
              description = "What holds for them, in niri's words.";
            };
          };
        }
      );
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = config.pantherOS.desktop.compositor.niri.enable;
        message = "pantherOS.desktop.compositor.window-management is about niri's windows: set pantherOS.desktop.compositor.niri.enable too.";
      }
    ];

    pantherOS.desktop.compositor = {
      window-management.rules = lib.mkBefore [
        {
          # Dialogues and videos beside the work, not in the row.
          matches = [
            {
              app-id = "firefox$";
              title = "^Picture-in-Picture$";
            }
            { app-id = "^org\\.gnome\\.Calculator$"; }
            { app-id = "^xdg-desktop-portal-gtk$"; }
          ];
          actions = [ "open-floating true" ];
        }
        {
          # These take the screen's rate into their own hands, where
          # pantherOS.hardware.display lets them.
          matches = [
            { app-id = "^(gamescope|mpv)$"; }
            { app-id = "^steam_app_[0-9]+$"; }
          ];
          actions = [ "variable-refresh-rate true" ];
        }
        {
          # Secrets stay out of shared screens.
          matches = [
            { app-id = "^1[pP]assword$"; }
            { app-id = "^org\\.gnome\\.seahorse\\.Application$"; }
          ];
          actions = [ "block-out-from \"screen-capture\"" ];
        }
      ];

      niri = {
        extraConfig = ''
          prefer-no-csd
          ${lib.concatMapStrings rule cfg.rules}'';
        sections.layout = ''
          gaps ${toString cfg.gaps}
          center-focused-column "never"
          preset-column-widths {
            proportion 0.33333
            proportion 0.5
            proportion 0.66667
          }
          default-column-width { proportion ${cfg.columnWidth}; }
        '';
        binds = {
          "Mod+Q repeat=false" = "close-window";
          "Mod+F" = "maximize-column";
          "Mod+Shift+F" = "fullscreen-window";
          "Mod+Shift+V" = "toggle-window-floating";
          "Mod+Ctrl+V" = "switch-focus-between-floating-and-tiling";
          "Mod+W" = "toggle-column-tabbed-display";
          "Mod+R" = "switch-preset-column-width";
          "Mod+C" = "center-column";
          "Mod+BracketLeft" = "consume-or-expel-window-left";
          "Mod+BracketRight" = "consume-or-expel-window-right";
          "Mod+Minus" = "set-column-width \"-10%\"";
          "Mod+Equal" = "set-column-width \"+10%\"";
          "Mod+Left" = "focus-column-left";
          "Mod+Right" = "focus-column-right";
          "Mod+Up" = "focus-window-up";
          "Mod+Down" = "focus-window-down";
          "Mod+H" = "focus-column-left";
          "Mod+L" = "focus-column-right";
          "Mod+K" = "focus-window-up";
          "Mod+J" = "focus-window-down";
          "Mod+Shift+Left" = "move-column-left";
          "Mod+Shift+Right" = "move-column-right";
          "Mod+Shift+Up" = "move-window-up";
          "Mod+Shift+Down" = "move-window-down";
          "Mod+Shift+H" = "move-column-left";
          "Mod+Shift+L" = "move-column-right";
          "Mod+Shift+K" = "move-window-up";
          "Mod+Shift+J" = "move-window-down";
        };
      };
    };
  };
}
