# AMD graphics with the kernel's own driver.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.hardware.gpu.amd;
in
{
  options.pantherOS.hardware.gpu.amd = {
    enable = lib.mkEnableOption "AMD graphics";

    opencl = lib.mkEnableOption "OpenCL by ROCm";

    performanceLevel = mkOption {
      type = types.enum [
        "auto"
        "low"
        "high"
      ];
      default = "auto";
      description = "How the GPU chooses its clocks: `high` keeps them up, which costs some 30 W at rest.";
    };

    monitor = mkOption {
      type = types.bool;
      default = true;
      description = "Whether to install a monitor of the GPU's load.";
    };
  };

  config = lib.mkIf cfg.enable {
    hardware.graphics.enable = true;
    hardware.amdgpu = {
      # Screens come up in their own resolution from the first moment.
      initrd.enable = true;
      opencl.enable = cfg.opencl;
    };

    # There is no NixOS option for it; the driver takes it from sysfs.
    services.udev.extraRules = lib.mkIf (cfg.performanceLevel != "auto") ''
      ACTION=="add", SUBSYSTEM=="drm", KERNEL=="card[0-9]", DRIVERS=="amdgpu", ATTR{device/power_dpm_force_performance_level}="${cfg.performanceLevel}"
    '';

    environment.systemPackages = lib.optional cfg.monitor pkgs.radeontop;
  };
}
