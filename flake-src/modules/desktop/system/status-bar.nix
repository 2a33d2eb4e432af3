# The bar at the top: clock, workspaces, battery, network. DankMaterialShell's
# where that is on, Waybar elsewhere.
{
  config,
  lib,
  features,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.desktop.system.status-bar;
  dms = config.pantherOS.desktop.theming.dankmaterialshell.enable;
  bool =
    description:
    mkOption {
      type = types.bool;
      default = true;
      description = "${description} (DankMaterialShell).";
    };
in
{
  options.pantherOS.desktop.system.status-bar = {
    enable = lib.mkEnableOption "a status bar";

    systemMonitor = bool "Whether the bar shows load, memory and temperatures";
    calendar = bool "Whether the clock shows the appointments of khal";
    audioVisualizer = bool "Whether the bar shows what is played as a curve";
    vpn = bool "Whether VPNs are switched from the bar";

    modules = mkOption {
      type = types.listOf types.singleLineStr;
      default = [
        "tray"
        "pulseaudio"
        "network"
        "cpu"
        "memory"
        "battery"
      ];
      example = [
        "clock"
        "battery"
      ];
      description = "What stands at the right end of Waybar.";
    };
  };

  config = lib.mkMerge [
    (lib.mkIf cfg.enable {
      programs.waybar.enable = lib.mkIf (!dms) true;
      environment.etc."xdg/waybar/config.jsonc" = lib.mkIf (!dms) {
        text = builtins.toJSON {
          layer = "top";
          modules-left = [
            "niri/workspaces"
            "niri/window"
          ];
          modules-center = [ "clock" ];
          modules-right = cfg.modules;
          clock.format = "{:%a %d %b  %H:%M}";
        };
      };

      pantherOS.desktop.compositor.niri.binds =
        if dms then
          { "Mod+B" = "spawn \"dms\" \"ipc\" \"call\" \"bar\" \"toggle\" \"index\" \"0\""; }
        else
          # Waybar hides and shows itself on this signal.
          { "Mod+B" = "spawn \"systemctl\" \"--user\" \"kill\" \"--signal=SIGUSR1\" \"waybar.service\""; };
    })

    (lib.optionalAttrs features.dank-material-shell {
      programs.dank-material-shell = lib.mkIf dms {
        enableSystemMonitoring = cfg.enable && cfg.systemMonitor;
        enableCalendarEvents = cfg.enable && cfg.calendar;
        enableAudioWavelength = cfg.enable && cfg.audioVisualizer;
        enableVPN = cfg.enable && cfg.vpn;
      };
    })
  ];
}
