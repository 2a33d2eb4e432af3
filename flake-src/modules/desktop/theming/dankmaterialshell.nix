# DankMaterialShell: bar, launcher, notifications and lock screen on niri.
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
  };

  config = lib.mkMerge [
    (lib.mkIf cfg.enable {
      assertions = [
        {
          assertion = features.dank-material-shell;
          message = "pantherOS.desktop.theming.dankmaterialshell needs its flake: add \"dank-material-shell\" to the features of ${host.name} in hosts.toml and run `panther generate`.";
        }
      ];
    })

    (lib.optionalAttrs features.dank-material-shell {
      programs.dank-material-shell = lib.mkIf cfg.enable {
        enable = true;
        # Started with the session, and again if it falls over.
        systemd.enable = true;
      };
    })
  ];
}
