# The hardware of sofa. With what is here it builds, but it is not to be
# installed: on the machine, booted from the NixOS installer,
#
#   nixos-generate-config --show-hardware-config
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
    # It needs the feature disko; without, file systems are listed below.
    file-systems.enable = false;
  };

  # Replace them by those that the command prints.
  fileSystems = {
    "/" = {
      device = "/dev/disk/by-label/nixos";
      fsType = "ext4";
    };
    "/boot" = {
      device = "/dev/disk/by-label/BOOT";
      fsType = "vfat";
      options = [ "umask=0077" ];
    };
  };
}
