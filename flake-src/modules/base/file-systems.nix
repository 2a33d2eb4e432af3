# Partitions, encryption and file systems, from a few facts about the disks.
# disko makes them when the machine is installed, and tells NixOS to mount them.
{
  config,
  lib,
  features,
  host,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.base.file-systems;
  swap = config.pantherOS.base.swap-memory;
  inherit (config.pantherOS.base.boot-loader) firmware;

  device = (import ../../lib/hardware.nix { inherit lib; }).types.disk;
  format = types.enum [
    "btrfs"
    "ext4"
  ];
  mountOptions = lib.optional cfg.ssd "noatime";

  fileSystem = kind: mountpoint: {
    type = "filesystem";
    format = kind;
    inherit mountpoint;
    mountOptions = mountOptions ++ lib.optional (kind == "btrfs") "compress=zstd";
  };

  # One subvolume for each part with a life of its own: a snapshot of / or of
  # /home holds neither the store, nor logs, nor the swap file.
  subvolume = subvolumeWith [ ];
  subvolumeWith = extra: mountpoint: {
    inherit mountpoint;
    mountOptions = mountOptions ++ [ "compress=zstd" ] ++ extra;
  };
  root =
    if cfg.format == "ext4" then
      fileSystem "ext4" "/"
    else
      {
        type = "btrfs";
        extraArgs = [ "-f" ];
        subvolumes = {
          "@" = subvolume "/";
          # Nobody's home has devices or setuid programs, and nobody starts a
          # program from the logs.
          "@home" = subvolumeWith [
            "nodev"
            "nosuid"
          ] "/home";
          "@log" = subvolumeWith [
            "nodev"
            "nosuid"
            "noexec"
          ] "/var/log";
          "@nix" = subvolume "/nix";
        }
        // lib.optionalAttrs (swap.enable && swap.file.size != null) {
          # Swap does without compression: it would forbid the file.
          "@swap" = {
            mountpoint = dirOf swap.file.path;
            inherit mountOptions;
          };
        };
      };

  partitions = {
    # A BIOS finds GRUB in a partition of its own, UEFI in a FAT one.
    bios = {
      boot = {
        size = "1M";
        type = "EF02";
        priority = 1;
      };
    };
    uefi = {
      ESP = {
        size = cfg.espSize;
        type = "EF00";
        priority = 1;
        content = {
          type = "filesystem";
          format = "vfat";
          mountpoint = "/boot";
          # It has kernels and, some day, keys: not for everybody's eyes.
          mountOptions = [ "umask=0077" ];
        };
      };
    };
  };
in
{
  options.pantherOS.base.file-systems = {
    enable = lib.mkEnableOption "partitions and file systems declared with disko";

    systemDisk = mkOption {
      type = device;
      example = "/dev/nvme0n1";
      description = "The disk that the system is on. Installing erases it.";
    };

    format = mkOption {
      type = format;
      default = "btrfs";
      description = "File system of the system disk.";
    };

    encrypt = lib.mkEnableOption "encryption of the system disk (LUKS), with a passphrase asked at boot";

    ssd = mkOption {
      type = types.bool;
      default = false;
      description = "Whether the disks are SSDs: freed blocks are reported to them weekly, and reading a file writes nothing.";
    };

    espSize = mkOption {
      type = types.strMatching "[0-9]+[MG]";
      default = "1G";
      description = "Size of the EFI system partition, which holds the kernels of all generations.";
    };

    dataDisks = mkOption {
      default = { };
      description = "Further disks, each one file system.";
      example = lib.literalExpression ''{ data = { device = "/dev/sda"; mountPoint = "/data"; }; }'';
      type = types.attrsOf (
        types.submodule {
          options = {
            device = mkOption {
              type = device;
              description = "The disk. Installing erases it.";
            };
            mountPoint = mkOption {
              type = types.strMatching "/.+";
              description = "Where it is mounted.";
            };
            format = mkOption {
              type = format;
              default = "ext4";
              description = "Its file system.";
            };
          };
        }
      );
    };
  };

  config = lib.mkMerge [
    (lib.mkIf cfg.enable {
      assertions = [
        {
          assertion = features.disko;
          message = "pantherOS.base.file-systems needs disko: add \"disko\" to the features of ${host.name} in hosts.toml and run `panther generate`, or declare fileSystems by hand and leave the module off.";
        }
        {
          assertion = !(cfg.encrypt && firmware == "bios");
          message = "pantherOS.base.file-systems.encrypt needs an unencrypted /boot, which only the UEFI layout has: set pantherOS.base.boot-loader.firmware = \"uefi\" or leave encryption off.";
        }
      ];

      services.fstrim.enable = lib.mkIf cfg.ssd true;
      services.btrfs.autoScrub.enable = lib.mkIf (cfg.format == "btrfs") (lib.mkDefault true);
    })

    (lib.optionalAttrs features.disko {
      disko.devices.disk = lib.mkIf cfg.enable (
        {
          system = {
            device = cfg.systemDisk;
            content = {
              type = "gpt";
              partitions = partitions.${firmware} // {
                system = {
                  size = "100%";
                  content =
                    if cfg.encrypt then
                      {
                        type = "luks";
                        name = "system";
                        # Trim shows which blocks are free; worth it on an SSD.
                        settings.allowDiscards = cfg.ssd;
                        content = root;
                      }
                    else
                      root;
                };
              };
            };
          };
        }
        // lib.mapAttrs (_: disk: {
          inherit (disk) device;
          content = {
            type = "gpt";
            partitions.data = {
              size = "100%";
              content = fileSystem disk.format disk.mountPoint;
            };
          };
        }) cfg.dataDisks
      );

      # Logs of the early boot are written there.
      fileSystems = lib.mkIf (cfg.enable && cfg.format == "btrfs") {
        "/var/log".neededForBoot = true;
      };
    })
  ];
}
