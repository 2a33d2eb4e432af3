# Swap: compressed in memory first, a file on disk after it.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.base.swap-memory;
  fileSystems = config.pantherOS.base.file-systems;
in
{
  options.pantherOS.base.swap-memory = {
    enable = lib.mkEnableOption "swap and memory settings";

    file = {
      size = mkOption {
        type = types.nullOr types.ints.positive;
        default = null;
        example = 16 * 1024;
        description = "Size of the swap file in MiB; null for none.";
      };
      path = mkOption {
        type = types.strMatching "/.+";
        # On btrfs it has a subvolume of its own, see file-systems.nix.
        default =
          if fileSystems.enable && fileSystems.format == "btrfs" then "/swap/swapfile" else "/var/lib/swapfile";
        defaultText = lib.literalMD "`/swap/swapfile` on btrfs, else `/var/lib/swapfile`";
        description = "Where the swap file is; it is made at boot if it is not there.";
      };
    };

    zramPercent = mkOption {
      type = types.ints.between 0 200;
      default = 50;
      description = "How much may be swapped to compressed memory, in percent of the machine's memory; 0 for none.";
    };

    swappiness = mkOption {
      type = types.nullOr (types.ints.between 0 200);
      default = if cfg.zramPercent > 0 then 150 else null;
      defaultText = lib.literalMD "150 with compressed memory, else the kernel's own";
      description = "vm.swappiness: above 100 swapping is preferred to dropping file pages, which is right where swap is memory.";
    };
  };

  config = lib.mkIf cfg.enable {
    swapDevices = lib.mkIf (cfg.file.size != null) [
      {
        device = cfg.file.path;
        inherit (cfg.file) size;
      }
    ];

    zramSwap = lib.mkIf (cfg.zramPercent > 0) {
      enable = true;
      memoryPercent = cfg.zramPercent;
    };

    boot.kernel.sysctl = lib.mkIf (cfg.swappiness != null) { "vm.swappiness" = cfg.swappiness; };
  };
}
