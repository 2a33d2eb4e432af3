# Battery: less power used, and a battery that lasts for years.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.hardware.laptop.battery;
in
{
  options.pantherOS.hardware.laptop.battery = {
    enable = lib.mkEnableOption "power saving with TLP";

    stopChargeAt = mkOption {
      type = types.nullOr (types.ints.between 50 100);
      default = 80;
      description = "Charge in percent at which charging stops, where the machine can do that; null to charge fully.";
    };
  };

  config = lib.mkIf cfg.enable {
    services.tlp = {
      enable = true;
      settings = {
        CPU_ENERGY_PERF_POLICY_ON_AC = "balance_performance";
        CPU_ENERGY_PERF_POLICY_ON_BAT = "balance_power";
        PLATFORM_PROFILE_ON_AC = "balanced";
        PLATFORM_PROFILE_ON_BAT = "low-power";
      }
      // lib.optionalAttrs (cfg.stopChargeAt != null) { STOP_CHARGE_THRESH_BAT0 = cfg.stopChargeAt; };
    };

    # The two fight over the same knobs, and DankMaterialShell turns this on.
    services.power-profiles-daemon.enable = lib.mkForce false;

    services.upower.enable = true;
  };
}
