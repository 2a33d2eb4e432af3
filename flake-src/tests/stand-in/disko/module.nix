# disko.devices.disk: GPT partitions with file systems, btrfs subvolumes, LUKS
# and swap, turned into fileSystems, swapDevices and boot.* as disko does.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  disks = config.disko.devices.disk;

  mount = device: fsType: options: { inherit device fsType options; };
  # What is on a partition -> definitions for the system.
  contents = {
    filesystem = device: c: {
      fileSystems.${c.mountpoint} = mount device c.format (c.mountOptions or [ "defaults" ]);
    };
    btrfs = device: c: {
      fileSystems = lib.mapAttrs' (
        name: s:
        lib.nameValuePair s.mountpoint (
          mount device "btrfs" ((s.mountOptions or [ "defaults" ]) ++ [ "subvol=${name}" ])
        )
      ) c.subvolumes;
    };
    luks =
      device: c:
      lib.mkMerge [
        { boot.initrd.luks.devices.${c.name} = { inherit device; } // (c.settings or { }); }
        (contentOf "/dev/mapper/${c.name}" c.content)
      ];
    swap = device: _: { swapDevices = [ { inherit device; } ]; };
  };
  contentOf =
    device: c:
    (contents.${c.type} or (throw "the stand-in for disko knows no content of type ${c.type}")) device c;

  ofDisk =
    diskName: disk:
    if disk.content.type != "gpt" then
      throw "the stand-in for disko knows GPT disks only, not ${disk.content.type}"
    else
      lib.mapAttrsToList (
        name: p:
        if p.type or "" == "EF02" then
          { boot.loader.grub.devices = [ disk.device ]; }
        else if p.content or null == null then
          { }
        else
          contentOf "/dev/disk/by-partlabel/disk-${diskName}-${name}" p.content
      ) disk.content.partitions;
  all = lib.concatLists (lib.mapAttrsToList ofDisk disks);
  of = path: lib.mkMerge (lib.concatMap (set: lib.optional (lib.hasAttrByPath path set) (lib.getAttrFromPath path set)) (lib.concatMap (s: s.contents or [ s ]) all));
in
{
  options.disko.devices.disk = mkOption {
    default = { };
    type = types.attrsOf (
      types.submodule {
        options = {
          device = mkOption { type = types.str; };
          type = mkOption {
            type = types.enum [ "disk" ];
            default = "disk";
          };
          content = mkOption { type = types.attrs; };
          postCreateHook = mkOption {
            type = types.lines;
            default = "";
          };
        };
      }
    );
  };

  config = {
    standIn.tables = [ ./options.nix ];
    # Each path by itself: what is declared here must not ask what is mounted.
    fileSystems = of [ "fileSystems" ];
    swapDevices = of [ "swapDevices" ];
    boot.initrd.luks.devices = of [
      "boot"
      "initrd"
      "luks"
      "devices"
    ];
    boot.loader.grub.devices = of [
      "boot"
      "loader"
      "grub"
      "devices"
    ];
    environment.etc."stand-in/disko.json" = lib.mkIf (disks != { }) {
      source = pkgs.writeText "disko.json" (builtins.toJSON disks);
    };
  };
}
