# NVIDIA graphics, alone or beside an integrated GPU (PRIME), for Wayland, and
# CUDA.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.hardware.gpu.nvidia;
  hybrid = cfg.prime != "off";
  busId = mkOption {
    type = types.nullOr (import ../../../lib/hardware.nix { inherit lib; }).types.busId;
    default = null;
    example = "PCI:1:0:0";
    description = "Bus id, as `lspci` prints it (01:00.0) or as the driver wants it (PCI:1:0:0, in decimal).";
  };
in
{
  options.pantherOS.hardware.gpu.nvidia = {
    enable = lib.mkEnableOption "NVIDIA graphics";

    open = mkOption {
      type = types.bool;
      default = true;
      description = "Whether to use the open kernel modules, which NVIDIA recommends for Turing and later.";
    };

    prime = mkOption {
      type = types.enum [
        "off"
        "offload"
        "sync"
      ];
      default = "off";
      description = "With an integrated GPU: `offload` keeps the NVIDIA one asleep until a program is started with nvidia-offload, `sync` renders everything on it.";
    };

    dynamicBoost = lib.mkEnableOption "Dynamic Boost: power goes to the CPU or the GPU as they need it, on laptops made for it";

    cuda = lib.mkEnableOption "CUDA's compiler, and the GPU in containers";

    nvidiaBusId = busId;
    intelBusId = busId;
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = hybrid -> cfg.nvidiaBusId != null && cfg.intelBusId != null;
        message = "pantherOS.hardware.gpu.nvidia.prime needs nvidiaBusId and intelBusId: run `lspci | grep -E 'VGA|3D'` on the machine.";
      }
    ];

    pantherOS.base.unfree-packages = [
      "nvidia-kernel-modules"
      "nvidia-persistenced"
      "nvidia-settings"
      "nvidia-x11"
    ]
    ++ lib.optionals cfg.cuda [
      "cuda_cccl"
      "cuda_crt"
      "cuda_cudart"
      "cuda_nvcc"
      "libnvvm"
    ];

    hardware.graphics.enable = true;

    # This is what turns the driver on, without an X server as well.
    services.xserver.videoDrivers = [ "nvidia" ];

    hardware.nvidia = {
      inherit (cfg) open;
      # Wayland compositors need it.
      modesetting.enable = true;
      dynamicBoost.enable = cfg.dynamicBoost;
      # Video memory is kept over suspend; with offload the GPU is switched
      # off while nothing runs on it.
      powerManagement.enable = true;
      powerManagement.finegrained = cfg.prime == "offload";
      prime = lib.mkIf hybrid {
        nvidiaBusId = lib.mkIf (cfg.nvidiaBusId != null) cfg.nvidiaBusId;
        intelBusId = lib.mkIf (cfg.intelBusId != null) cfg.intelBusId;
        offload.enable = cfg.prime == "offload";
        offload.enableOffloadCmd = cfg.prime == "offload";
        sync.enable = cfg.prime == "sync";
      };
    };

    # Programs are built against these two; the driver brings the rest.
    environment.systemPackages = lib.optionals cfg.cuda [
      pkgs.cudaPackages.cuda_cudart
      pkgs.cudaPackages.cuda_nvcc
    ];
    # `podman run --device nvidia.com/gpu=all`
    hardware.nvidia-container-toolkit.enable = lib.mkIf cfg.cuda true;
  };
}
