# Several screens at one desk: side by side in a given order, one of them the
# main one, with the keys to go between them. What each screen is, is said in
# pantherOS.hardware.display.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.desktop.display.multi-monitor;
  inherit (config.pantherOS.hardware.display) outputs;
  width = name: outputs.${name}.logicalWidth;
  # Each screen starts where those left of it end.
  startOf =
    name:
    let
      go =
        x: names:
        if names == [ ] || lib.head names == name then
          x
        else
          go (x + width (lib.head names)) (lib.tail names);
    in
    go 0 cfg.order;
in
{
  options.pantherOS.desktop.display.multi-monitor = {
    enable = lib.mkEnableOption "several screens side by side";

    order = mkOption {
      type = types.listOf types.singleLineStr;
      default = [ ];
      example = [
        "DP-1"
        "DP-2"
      ];
      description = "The screens from left to right, as `niri msg outputs` calls them. Each must be in pantherOS.hardware.display.outputs with its mode.";
    };

    primary = mkOption {
      type = types.nullOr types.singleLineStr;
      default = if cfg.order == [ ] then null else lib.head cfg.order;
      defaultText = lib.literalMD "the first of `order`";
      example = "DP-2";
      description = "The screen that has the focus after login.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = config.pantherOS.hardware.display.enable;
        message = "pantherOS.desktop.display.multi-monitor arranges the screens of pantherOS.hardware.display: set its `enable` too.";
      }
      {
        assertion = lib.length cfg.order >= 2 && lib.all (name: width name != null) cfg.order;
        message = "pantherOS.desktop.display.multi-monitor.order must name two or more screens that are in pantherOS.hardware.display.outputs with a mode.";
      }
      {
        assertion = lib.elem cfg.primary cfg.order;
        message = "pantherOS.desktop.display.multi-monitor.primary is not one of the screens in `order`.";
      }
    ];

    pantherOS = {
      hardware.display.outputs = lib.genAttrs cfg.order (name: {
        position = {
          x = startOf name;
          y = 0;
        };
        focusAtStartup = name == cfg.primary;
      });

      desktop.compositor.niri.binds = {
        "Mod+Ctrl+Left" = "focus-monitor-left";
        "Mod+Ctrl+Right" = "focus-monitor-right";
        "Mod+Ctrl+Shift+Left" = "move-column-to-monitor-left";
        "Mod+Ctrl+Shift+Right" = "move-column-to-monitor-right";
        "Mod+Ctrl+Alt+Left" = "move-workspace-to-monitor-left";
        "Mod+Ctrl+Alt+Right" = "move-workspace-to-monitor-right";
      };
    };
  };
}
