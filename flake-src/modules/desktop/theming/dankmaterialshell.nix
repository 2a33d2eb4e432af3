# DankMaterialShell: bar, launcher, notifications and lock screen on niri. What
# of it is used is said in pantherOS.desktop.system.
{
  config,
  lib,
  features,
  host,
  ...
}:
let
  cfg = config.pantherOS.desktop.theming.dankmaterialshell;
in
{
  options.pantherOS.desktop.theming.dankmaterialshell = {
    enable = lib.mkEnableOption "DankMaterialShell";

    dynamicColors = lib.mkOption {
      type = lib.types.bool;
      default = true;
      description = "Whether the shell takes its colours from the wallpaper.";
    };
  };

  config = lib.mkMerge [
    (lib.mkIf cfg.enable {
      assertions = [
        {
          assertion = features.dank-material-shell;
          message = "pantherOS.desktop.theming.dankmaterialshell needs its flake: add \"dank-material-shell\" to the features of ${host.name} in hosts.toml and run `panther generate`.";
        }
      ];

      pantherOS.desktop.compositor.niri.binds = {
        "Mod+Alt+L" = "spawn \"dms\" \"ipc\" \"call\" \"lock\" \"lock\"";
        "Mod+X" = "spawn \"dms\" \"ipc\" \"call\" \"powermenu\" \"toggle\"";
        "Mod+Comma" = "spawn \"dms\" \"ipc\" \"call\" \"settings\" \"toggle\"";
      };
    })

    (lib.optionalAttrs features.dank-material-shell {
      programs.dank-material-shell = lib.mkIf cfg.enable {
        enable = true;
        # Started with the session, and again if it falls over.
        systemd.enable = true;
        enableDynamicTheming = cfg.dynamicColors;
      };
    })
  ];
}
