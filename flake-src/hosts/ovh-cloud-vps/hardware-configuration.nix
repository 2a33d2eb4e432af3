# OVH cloud VPS: a KVM guest with 4 virtual CPUs, 8 GB and an 80 GB disk, booted
# by a BIOS.
{
  boot.initrd.availableKernelModules = [
    "ahci"
    "sr_mod"
    "virtio_blk"
    "virtio_net"
    "virtio_pci"
    "virtio_scsi"
    "xhci_pci"
  ];

  pantherOS.base = {
    boot-loader.firmware = "bios";
    file-systems = {
      # Not encrypted: at boot there is nobody to unlock it.
      systemDisk = "/dev/sda";
      format = "ext4";
    };
  };

  # Lets the provider shut it down and take snapshots in an orderly way.
  services.qemuGuest.enable = true;
}
