# AMD graphics with the kernel's own driver.
{ config, lib, ... }:
let
  cfg = config.pantherOS.hardware.gpu.amd;
in
{
  options.pantherOS.hardware.gpu.amd = {
    enable = lib.mkEnableOption "AMD graphics";

    opencl = lib.mkEnableOption "OpenCL by ROCm";
  };

  config = lib.mkIf cfg.enable {
    hardware.graphics.enable = true;
    hardware.amdgpu = {
      # Screens come up in their own resolution from the first moment.
      initrd.enable = true;
      opencl.enable = cfg.opencl;
    };
  };
}
