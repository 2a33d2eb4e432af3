# Partitions, encryption and file systems, from a few facts about the disks, and
# the SSD as a cache of a hard disk. disko makes them when the machine is
# installed, and tells NixOS to mount them.
{
  config,
  lib,
  pkgs,
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

  cached = lib.filterAttrs (_: disk: disk.cache != null) cfg.dataDisks;
  # A file system's label has 16 characters at most; the mount is by label, since
  # the number of a bcache device may change.
  label = name: builtins.substring 0 16 name;
  partLabel = disk: partition: "/dev/disk/by-partlabel/disk-${disk}-${partition}";
  # disko knows no bcache: once both partitions are there, this joins them.
  makeCached = name: disk: ''
    if ! ${pkgs.bcache-tools}/bin/bcache-super-show ${partLabel name "data"} >/dev/null 2>&1; then
      modprobe bcache
      ${pkgs.bcache-tools}/bin/make-bcache ${lib.optionalString (disk.cache.mode == "writeback") "--writeback"} \
        --bdev ${partLabel name "data"} --cdev ${partLabel "system" "cache-${name}"}
      udevadm settle
      device=$(readlink -f ${partLabel name "data"})
      bcache=/dev/$(basename "$(readlink -f "/sys/class/block/''${device##*/}/bcache/dev")")
      ${
        if disk.format == "btrfs" then "${pkgs.btrfs-progs}/bin/mkfs.btrfs" else "${pkgs.e2fsprogs}/bin/mkfs.ext4"
      } -L ${label name} "$bcache"
    fi
  '';

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
      example = "512M";
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
            cache = mkOption {
              type = types.nullOr (
                types.submodule {
                  options = {
                    size = mkOption {
                      type = types.strMatching "[0-9]+[MGT]";
                      description = "How much of the system disk it takes.";
                    };
                    mode = mkOption {
                      type = types.enum [
                        "writethrough"
                        "writeback"
                      ];
                      default = "writethrough";
                      description = "Whether a write is done when the slow disk has it, or as soon as the cache does: faster, and lost with the SSD.";
                    };
                  };
                }
              );
              default = null;
              example = {
                size = "200G";
              };
              description = "A cache on the system disk, an SSD, for this slower disk (bcache); null for none.";
            };
          };
        }
      );
    };
  };

  config = lib.mkMerge [
    (lib.mkIf (cfg.enable && cached != { }) {
      # The devices come together in udev, where NixOS puts its rules.
      boot.bcache.enable = true;
      boot.initrd.availableKernelModules = [ "bcache" ];
      fileSystems = lib.mapAttrs' (
        name: disk:
        lib.nameValuePair disk.mountPoint {
          device = "/dev/disk/by-label/${label name}";
          fsType = disk.format;
          options =
            (fileSystem disk.format disk.mountPoint).mountOptions
            # The machine starts without it, too.
            ++ [ "nofail" ];
        }
      ) cached;
    })
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
            postCreateHook = lib.mkIf (cached != { }) (
              lib.concatStrings (lib.mapAttrsToList makeCached cached)
            );
            content = {
              type = "gpt";
              partitions =
                partitions.${firmware}
                // lib.mapAttrs' (
                  name: disk: lib.nameValuePair "cache-${name}" { inherit (disk.cache) size; }
                ) cached
                // {
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
              content = if disk.cache == null then fileSystem disk.format disk.mountPoint else null;
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
