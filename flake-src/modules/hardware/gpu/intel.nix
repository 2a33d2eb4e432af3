# Intel integrated graphics: video decoding and encoding, OpenCL.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.pantherOS.hardware.gpu.intel;
in
{
  options.pantherOS.hardware.gpu.intel = {
    enable = lib.mkEnableOption "Intel integrated graphics (Iris Xe and later)";
  };

  config = lib.mkIf cfg.enable {
    # The panel comes up in its own resolution from the first moment.
    boot.initrd.kernelModules = [ "i915" ];

    hardware.graphics = {
      enable = true;
      extraPackages = [
        pkgs.intel-compute-runtime
        pkgs.intel-media-driver
        pkgs.vpl-gpu-rt
      ];
    };

    environment.sessionVariables.LIBVA_DRIVER_NAME = lib.mkDefault "iHD";
  };
}
