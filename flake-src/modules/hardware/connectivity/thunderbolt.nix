# Thunderbolt and USB4: a device reaches memory directly, so somebody has to
# agree to it once.
{ config, lib, ... }:
let
  cfg = config.pantherOS.hardware.connectivity.thunderbolt;
in
{
  options.pantherOS.hardware.connectivity.thunderbolt = {
    enable = lib.mkEnableOption "Thunderbolt devices, which bolt asks about and remembers";

    dmaProtection = lib.mkOption {
      type = lib.types.bool;
      default = true;
      description = "Whether the IOMMU confines every device to the memory that was given to it, on Intel processors.";
    };
  };

  config = lib.mkIf cfg.enable {
    services.hardware.bolt.enable = true;

    # A dock's keyboard must work where the disk is unlocked.
    boot.initrd.availableKernelModules = [ "thunderbolt" ];

    boot.kernelParams = lib.mkIf cfg.dmaProtection [ "intel_iommu=on" ];
  };
}
