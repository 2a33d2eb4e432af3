package flake

import (
	"fmt"
	"slices"
	"strings"

	"gitlab.com/pantheros/pantheros/pipeline/inventory"
)

// Scaffold returns a first version of a file of a host's folder; file is one
// of inventory.HostFiles. A host with scaffolded files evaluates and builds,
// and their comments say what has to be filled in before it is installed.
//
// They set only what lib/mkSystem.nix and the profiles leave open: a boot
// loader, disks, and who may become root.
func Scaffold(h inventory.Host, file string) []byte {
	switch file {
	case "configuration.nix":
		return configuration(h)
	case "hardware-configuration.nix":
		return hardwareConfiguration(h)
	case "home.nix":
		return home(h)
	}
	panic("flake: a host has no file " + file)
}

func configuration(h inventory.Host) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `# %s
#
# What this machine alone needs. Its profiles, features and users are in
# hosts.toml, what follows from its hardware in hardware-configuration.nix.
{
  imports = [ ./hardware-configuration.nix ];

`, title(h))
	if len(h.Users) > 0 {
		fmt.Fprintf(&b, "  # Who may become root; others of its users can be added.\n"+
			"  pantherOS.base.users-groups.admins = [ %s ];\n\n", quote(h.Users[0]))
	}
	b.WriteString(`  # A swap file, in MiB, besides compressed memory: as large as the memory.
  # pantherOS.base.swap-memory.file.size = 16 * 1024;

  # Where it stands, if its clock is not to show UTC.
  # pantherOS.base.time-locale.timeZone = "Europe/Berlin";
}
`)
	return []byte(b.String())
}

func hardwareConfiguration(h inventory.Host) []byte {
	disko := slices.Contains(h.Features, "disko")
	command := "nixos-generate-config --show-hardware-config"
	if disko {
		command += " --no-filesystems"
	}
	var b strings.Builder
	fmt.Fprintf(&b, `# The hardware of %s. With what is here it builds, but it is not to be
# installed: on the machine, booted from the NixOS installer,
#
#   %s
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
`, h.Name, command)
	if disko {
		b.WriteString(`    file-systems = {
      enable = true;
      # The disk to install to, which erases it: see ls -l /dev/disk/by-id.
      systemDisk = "/dev/disk/by-id/CHANGE-ME";
    };
  };
}
`)
	} else {
		b.WriteString(`    # It needs the feature disko; without, file systems are listed below.
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
`)
	}
	return []byte(b.String())
}

func home(h inventory.Host) []byte {
	return fmt.Appendf(nil, `# What everybody who uses %s has in their home there, besides their own
# home/<user>: for Home Manager, while the host has the feature home-manager.
{
  # home.sessionVariables.XCURSOR_SIZE = 24;
}
`, h.Name)
}

// title is the first line of a host's configuration. A description is one
// line without control characters, so that it cannot end the comment.
func title(h inventory.Host) string {
	if h.Description == h.Name || h.Description == "" {
		return h.Name
	}
	return h.Name + ": " + h.Description
}
