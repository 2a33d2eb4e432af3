# Firefox, with what it reports about its user turned off.
{ config, lib, ... }:
let
  cfg = config.pantherOS.desktop.applications.browser;
in
{
  options.pantherOS.desktop.applications.browser = {
    enable = lib.mkEnableOption "Firefox";
  };

  config = lib.mkIf cfg.enable {
    programs.firefox = {
      enable = true;
      policies = {
        DisableTelemetry = true;
        DisableFirefoxStudies = true;
        DisablePocket = true;
        # The Nix store is read-only: an update would fail every time.
        DisableAppUpdate = true;
      };
    };
  };
}
