# ASUS ROG Zephyrus M16 GU603ZW (2022): Core i9-12900H (Alder Lake), GeForce RTX
# 3070 Ti Laptop, 16 GB DDR5, 1 TB NVMe, 2560x1600 at 165 Hz.
#
# nixos-hardware has no entry for the GU603ZW; its common modules fit.
{ inputs, ... }:
{
  imports = with inputs.nixos-hardware.nixosModules; [
    common-cpu-intel-cpu-only
    common-pc-laptop
    common-pc-ssd
  ];

  boot.initrd.availableKernelModules = [
    "nvme"
    "rtsx_pci_sdmmc"
    "usb_storage"
    "usbhid"
    "vmd"
    "xhci_pci"
  ];
  boot.kernelModules = [ "kvm-intel" ];

  pantherOS.base.file-systems.systemDisk = "/dev/nvme0n1";

  pantherOS.hardware.display = {
    enable = true;
    # Factory-calibrated for DCI-P3; its profile is imported on the machine.
    colorManagement = true;
    outputs."eDP-1" = {
      # At its highest rate, which is 165 Hz.
      mode = {
        width = 2560;
        height = 1600;
      };
      scale = "1.5";
      variableRefreshRate = "on-demand";
    };
  };

  # Assumed from machines of this series; `lspci | grep -E 'VGA|3D'` on the
  # machine confirms or corrects them.
  pantherOS.hardware.gpu = {
    nvidia = {
      intelBusId = "PCI:0:2:0";
      nvidiaBusId = "PCI:1:0:0";
    };
    # niri draws on the Intel GPU, whichever the kernel finds first.
    wayland-gpu.renderDevice = "/dev/dri/by-path/pci-0000:00:02.0-render";
  };
}
