# Workstation: Ryzen 9 5950X, Radeon RX 6800 XT, 32 GB, 2 TB NVMe and 4 TB hard
# disk, ultrawide screen of 3440x1440 and a second one.
{ inputs, ... }:
{
  imports = with inputs.nixos-hardware.nixosModules; [
    common-cpu-amd-pstate
    common-pc-ssd
  ];

  boot.initrd.availableKernelModules = [
    "ahci"
    "nvme"
    "sd_mod"
    "usb_storage"
    "usbhid"
    "xhci_pci"
  ];
  boot.kernelModules = [ "kvm-amd" ];

  pantherOS.base.file-systems = {
    systemDisk = "/dev/nvme0n1";
    dataDisks.data = {
      device = "/dev/sda";
      mountPoint = "/data";
      # What is read often comes from the SSD.
      cache.size = "200G";
    };
  };

  # The connectors and the second screen's resolution are assumed; `niri msg
  # outputs` on the machine confirms or corrects them.
  pantherOS.hardware.display = {
    enable = true;
    outputs = {
      "DP-1" = {
        mode = {
          width = 3440;
          height = 1440;
        };
        variableRefreshRate = "on-demand";
      };
      "DP-2".mode = {
        width = 2560;
        height = 1440;
      };
    };
  };
}
