# The hardware of sofa. With what is here it builds, but it is not to be
# installed: on the machine, booted from the NixOS installer,
#
#   nixos-generate-config --show-hardware-config --no-filesystems
#
# prints the kernel modules, and what else the machine needs, to put here.
{
  # These start most PCs and virtual machines.
  boot.initrd.availableKernelModules = [
    "ahci"
    "nvme"
    "sd_mod"
    "usb_storage"
    "usbhid"
    "virtio_blk"
    "virtio_pci"
    "virtio_scsi"
    "xhci_pci"
  ];

  pantherOS.base = {
    boot-loader = {
      enable = true;
      # Or "bios", for a machine that does not start by UEFI.
      firmware = "uefi";
    };
    file-systems = {
      enable = true;
      # The disk to install to, which erases it: see ls -l /dev/disk/by-id.
      systemDisk = "/dev/disk/by-id/CHANGE-ME";
    };
  };
}
