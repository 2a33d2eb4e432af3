# foot, a small and fast Wayland terminal.
{ config, lib, ... }:
let
  cfg = config.pantherOS.desktop.applications.terminal;
in
{
  options.pantherOS.desktop.applications.terminal = {
    enable = lib.mkEnableOption "the foot terminal";

    fontSize = lib.mkOption {
      type = lib.types.ints.positive;
      default = 11;
      description = "Font size in points.";
    };
  };

  config = lib.mkIf cfg.enable {
    programs.foot = {
      enable = true;
      settings.main.font = "monospace:size=${toString cfg.fontSize}";
    };
  };
}
