# foot, a small and fast Wayland terminal.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.desktop.applications.terminal;
in
{
  options.pantherOS.desktop.applications.terminal = {
    enable = lib.mkEnableOption "the foot terminal";

    fontSize = mkOption {
      type = types.ints.positive;
      default = 11;
      example = 13;
      description = "Font size in points.";
    };

    scrollback = mkOption {
      type = types.ints.unsigned;
      default = 10000;
      example = 100000;
      description = "How many lines one can scroll back.";
    };
  };

  config = lib.mkIf cfg.enable {
    programs.foot = {
      enable = true;
      settings = {
        main.font = "monospace:size=${toString cfg.fontSize}";
        scrollback.lines = cfg.scrollback;
      };
    };

    pantherOS.desktop.compositor.niri.binds = {
      "Mod+T" = "spawn \"foot\"";
      "Mod+Return" = "spawn \"foot\"";
    };
  };
}
