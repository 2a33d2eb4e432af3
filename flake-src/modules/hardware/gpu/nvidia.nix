# NVIDIA graphics, alone or beside an integrated GPU (PRIME), for Wayland.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.hardware.gpu.nvidia;
  hybrid = cfg.prime != "off";
  busId = mkOption {
    type = types.nullOr (types.strMatching "PCI:[0-9]+:[0-9]+:[0-9]+");
    default = null;
    example = "PCI:1:0:0";
    description = "Bus id, as `lspci` says it but in decimal: 01:00.0 is PCI:1:0:0.";
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
    ];

    hardware.graphics.enable = true;

    # This is what turns the driver on, without an X server as well.
    services.xserver.videoDrivers = [ "nvidia" ];

    hardware.nvidia = {
      inherit (cfg) open;
      # Wayland compositors need it.
      modesetting.enable = true;
      # Video memory is kept over suspend; with offload the GPU is switched
      # off while nothing runs on it.
      powerManagement.enable = true;
      powerManagement.finegrained = cfg.prime == "offload";
      prime = lib.mkIf hybrid {
        inherit (cfg) nvidiaBusId intelBusId;
        offload.enable = cfg.prime == "offload";
        offload.enableOffloadCmd = cfg.prime == "offload";
        sync.enable = cfg.prime == "sync";
      };
    };
  };
}
