# Lenovo Yoga 14-inch 2-in-1: Core i7 (11th generation, Tiger Lake), Iris Xe and
# GeForce MX450, 16 GB, 512 GB NVMe, touch screen of 1920x1080.
{ inputs, ... }:
{
  imports = with inputs.nixos-hardware.nixosModules; [
    common-cpu-intel-cpu-only
    common-pc-laptop
    common-pc-ssd
  ];

  boot.initrd.availableKernelModules = [
    "nvme"
    "sd_mod"
    "usb_storage"
    "xhci_pci"
  ];
  boot.kernelModules = [ "kvm-intel" ];

  pantherOS.base.file-systems.systemDisk = "/dev/nvme0n1";

  pantherOS.hardware.display = {
    enable = true;
    outputs."eDP-1".mode = {
      width = 1920;
      height = 1080;
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
