# Bluetooth.
{ config, lib, ... }:
let
  cfg = config.pantherOS.hardware.connectivity.bluetooth;
in
{
  options.pantherOS.hardware.connectivity.bluetooth = {
    enable = lib.mkEnableOption "Bluetooth";

    powerOnBoot = lib.mkOption {
      type = lib.types.bool;
      default = true;
      description = "Whether the radio is on after boot.";
    };
  };

  config = lib.mkIf cfg.enable {
    hardware.bluetooth = {
      enable = true;
      inherit (cfg) powerOnBoot;
    };
  };
}
