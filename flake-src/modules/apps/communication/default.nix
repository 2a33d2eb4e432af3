# Mail, chat and calls.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.pantherOS.apps.communication;
in
{
  options.pantherOS.apps.communication = {
    enable = lib.mkEnableOption "mail and chat programs";
  };

  config = lib.mkIf cfg.enable {
    programs.thunderbird = {
      enable = true;
      policies = {
        DisableTelemetry = true;
        # The Nix store is read-only: an update would fail every time.
        DisableAppUpdate = true;
      };
    };

    environment.systemPackages = [
      pkgs.element-desktop
      pkgs.signal-desktop
    ];
  };
}
