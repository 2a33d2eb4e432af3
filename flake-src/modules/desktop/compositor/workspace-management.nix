# Workspaces of niri: those that are always there, on which screen, and the keys
# for them.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.desktop.compositor.workspace-management;
  quote = builtins.toJSON;

  workspace =
    w:
    "workspace ${quote w.name}${
      lib.optionalString (w.output != null) " {\n  open-on-output ${quote w.output}\n}"
    }";
in
{
  options.pantherOS.desktop.compositor.workspace-management = {
    enable = lib.mkEnableOption "niri's workspaces and the keys for them";

    named = mkOption {
      default = [ ];
      example = lib.literalExpression ''[ { name = "chat"; output = "DP-2"; } ]'';
      description = "Workspaces that are there from the start, in this order. Others come and go with their windows.";
      type = types.listOf (
        types.submodule {
          options = {
            name = mkOption {
              type = types.singleLineStr;
              description = "Its name.";
            };
            output = mkOption {
              type = types.nullOr types.singleLineStr;
              default = null;
              example = "DP-2";
              description = "The screen it is on, as `niri msg outputs` calls it; null for the first.";
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
        message = "pantherOS.desktop.compositor.workspace-management is about niri's workspaces: set pantherOS.desktop.compositor.niri.enable too.";
      }
      {
        assertion = lib.length (lib.unique (map (w: w.name) cfg.named)) == lib.length cfg.named;
        message = "Two workspaces in pantherOS.desktop.compositor.workspace-management.named have the same name: rename one.";
      }
    ];

    pantherOS.desktop.compositor.niri = {
      extraConfig = lib.concatMapStrings (w: workspace w + "\n") cfg.named;
      binds = {
        "Mod+Tab repeat=false" = "toggle-overview";
        "Mod+Page_Down" = "focus-workspace-down";
        "Mod+Page_Up" = "focus-workspace-up";
        "Mod+Ctrl+Page_Down" = "move-column-to-workspace-down";
        "Mod+Ctrl+Page_Up" = "move-column-to-workspace-up";
        "Mod+Shift+Page_Down" = "move-workspace-down";
        "Mod+Shift+Page_Up" = "move-workspace-up";
        "Mod+WheelScrollDown cooldown-ms=150" = "focus-workspace-down";
        "Mod+WheelScrollUp cooldown-ms=150" = "focus-workspace-up";
      }
      // lib.listToAttrs (
        lib.concatMap (
          n:
          let
            number = toString n;
          in
          [
            (lib.nameValuePair "Mod+${number}" "focus-workspace ${number}")
            (lib.nameValuePair "Mod+Shift+${number}" "move-column-to-workspace ${number}")
          ]
        ) (lib.range 1 9)
      );
    };
  };
}
