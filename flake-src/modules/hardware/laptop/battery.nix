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
      example = 60;
      description = "Charge in percent at which charging stops, where the machine can do that; null to charge fully.";
    };

    onMains = mkOption {
      type = types.enum [
        "balanced"
        "performance"
      ];
      default = "balanced";
      description = "What the machine goes for on mains power.";
    };

    turboOnBattery = mkOption {
      type = types.bool;
      default = true;
      description = "Whether the processor goes above its nominal clock on battery.";
    };

    criticalAction = mkOption {
      type = types.enum [
        "PowerOff"
        "HybridSleep"
        "Hibernate"
      ];
      default = "PowerOff";
      description = "What happens when the battery is all but empty. The default loses nothing that was saved; hibernating needs swap as large as the memory, and `boot.resumeDevice`.";
    };
  };

  config = lib.mkIf cfg.enable {
    services.tlp = {
      enable = true;
      settings = {
        CPU_ENERGY_PERF_POLICY_ON_AC =
          if cfg.onMains == "performance" then "performance" else "balance_performance";
        CPU_ENERGY_PERF_POLICY_ON_BAT = "balance_power";
        PLATFORM_PROFILE_ON_AC = cfg.onMains;
        PLATFORM_PROFILE_ON_BAT = "low-power";
        CPU_BOOST_ON_BAT = if cfg.turboOnBattery then 1 else 0;
        # Devices on PCIe sleep when idle, and so does sound.
        RUNTIME_PM_ON_BAT = "auto";
        PCIE_ASPM_ON_BAT = "powersupersave";
        SOUND_POWER_SAVE_ON_BAT = 10;
      }
      // lib.optionalAttrs (cfg.stopChargeAt != null) { STOP_CHARGE_THRESH_BAT0 = cfg.stopChargeAt; };
    };

    # The two fight over the same knobs, and DankMaterialShell turns this on.
    services.power-profiles-daemon.enable = lib.mkForce false;

    services.upower = {
      enable = true;
      criticalPowerAction = cfg.criticalAction;
    };
  };
}
