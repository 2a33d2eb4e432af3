# Which GPU a Wayland session uses, and what programs must be told of it.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.hardware.gpu.wayland-gpu;
  inherit (config.pantherOS.hardware.gpu) nvidia;
  # With offload the integrated GPU draws; all else is as with NVIDIA alone.
  onNvidia = nvidia.enable && nvidia.prime != "offload";
in
{
  options.pantherOS.hardware.gpu.wayland-gpu = {
    enable = lib.mkEnableOption "the GPU's settings for Wayland sessions";

    renderDevice = mkOption {
      type = types.nullOr (types.strMatching "/dev/dri/.+");
      default = null;
      example = "/dev/dri/by-path/pci-0000:00:02.0-render";
      description = "The device that niri draws with; null for the one that the firmware started with. A path of by-path stays the same over reboots.";
    };

    tools = mkOption {
      type = types.bool;
      default = true;
      description = "Whether vulkaninfo and vainfo are installed, which say what works.";
    };
  };

  config = lib.mkIf cfg.enable {
    hardware.graphics.enable = true;

    environment.systemPackages = lib.optionals cfg.tools [
      pkgs.libva-utils
      pkgs.vulkan-tools
    ];

    environment.sessionVariables = lib.mkIf onNvidia {
      GBM_BACKEND = "nvidia-drm";
      __GLX_VENDOR_LIBRARY_NAME = "nvidia";
      LIBVA_DRIVER_NAME = "nvidia";
    };

    # The driver keeps freed buffers for itself, which in a compositor adds up
    # to a gigabyte: niri's documentation gives this profile against it.
    environment.etc."nvidia/nvidia-application-profiles-rc.d/50-niri.json" = lib.mkIf nvidia.enable {
      text = builtins.toJSON {
        rules = [
          {
            pattern = {
              feature = "procname";
              matches = "niri";
            };
            profile = "Limit Free Buffer Pool On Wayland Compositors";
          }
        ];
        profiles = [
          {
            name = "Limit Free Buffer Pool On Wayland Compositors";
            settings = [
              {
                key = "GLVidHeapReuseRatio";
                value = 0;
              }
            ];
          }
        ];
      };
    };

    pantherOS.desktop.compositor.niri.sections = lib.mkIf (cfg.renderDevice != null) {
      debug = "render-drm-device ${builtins.toJSON cfg.renderDevice}";
    };
  };
}
