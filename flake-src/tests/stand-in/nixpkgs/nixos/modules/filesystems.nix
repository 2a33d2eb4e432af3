# File systems and swap, as /etc/fstab says them.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  optional =
    type: default:
    mkOption { inherit type default; };

  fileSystem = types.submodule (
    { name, ... }:
    {
      freeformType = types.attrsOf types.anything;
      options = {
        mountPoint = optional types.str name;
        device = optional (types.nullOr types.str) null;
        label = optional (types.nullOr types.str) null;
        fsType = optional types.str "auto";
        options = optional (types.nonEmptyListOf types.str) [ "defaults" ];
        neededForBoot = lib.mkEnableOption "mounting in the initial ramdisk";
      };
    }
  );
  swapDevice = types.submodule {
    freeformType = types.attrsOf types.anything;
    options = {
      device = mkOption { type = types.str; };
      size = optional (types.nullOr types.int) null;
      priority = optional (types.nullOr types.int) null;
      options = optional (types.nonEmptyListOf types.str) [ "defaults" ];
    };
  };
  fileSystems = lib.attrValues config.fileSystems;
  tools = {
    btrfs = pkgs.btrfs-progs;
    ext4 = pkgs.e2fsprogs;
    vfat = pkgs.dosfstools;
  };
in
{
  options = {
    fileSystems = optional (types.attrsOf fileSystem) { };
    swapDevices = optional (types.listOf swapDevice) [ ];
    zramSwap = {
      enable = lib.mkEnableOption "compressed swap in memory";
      memoryPercent = optional types.ints.positive 50;
      algorithm = optional types.str "zstd";
      priority = optional types.int 5;
    };
  };

  config = {
    assertions = [
      {
        assertion = config.fileSystems ? "/";
        message = "The ‘fileSystems’ option does not specify your root file system.";
      }
    ]
    ++ map (f: {
      assertion = f.device != null || f.label != null;
      message = "No device specified for mount point ‘${f.mountPoint}’.";
    }) fileSystems;

    boot.supportedFilesystems = lib.unique (map (f: f.fsType) fileSystems);
    environment.systemPackages = map (t: tools.${t}) (
      lib.intersectLists (lib.attrNames tools) config.boot.supportedFilesystems
    )
    ++ lib.optionals (config.boot.initrd.luks.devices != { }) [ pkgs.cryptsetup ];
    environment.etc.fstab.text = lib.concatLines (
      map (
        f:
        "${if f.device != null then f.device else "LABEL=${f.label}"} ${f.mountPoint} ${f.fsType} ${lib.concatStringsSep "," f.options} 0 ${
          if f.mountPoint == "/" then "1" else "2"
        }"
      ) fileSystems
      ++ map (s: "${s.device} none swap ${lib.concatStringsSep "," s.options}") config.swapDevices
    );
    environment.etc."systemd/zram-generator.conf" = lib.mkIf config.zramSwap.enable {
      text = ''
        [zram0]
        zram-size=ram * ${toString config.zramSwap.memoryPercent} / 100
        compression-algorithm=${config.zramSwap.algorithm}
        swap-priority=${toString config.zramSwap.priority}
      '';
    };
    systemd.services = lib.listToAttrs (
      map (
        s:
        lib.nameValuePair "mkswap-${lib.replaceStrings [ "/" ] [ "-" ] s.device}" {
          description = "Initialisation of swap device ${s.device}";
          script = "echo ${toString s.size}";
          path = [
            pkgs.util-linux
            pkgs.e2fsprogs
          ];
        }
      ) (lib.filter (s: s.size != null) config.swapDevices)
    );
  };
}
