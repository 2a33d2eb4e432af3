# Memory and swap: pages, channels and errors of the modules; swap compressed in
# memory first, a file on disk after it.
{
  config,
  lib,
  pkgs,
  ...
}:
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
        example = "/data/swapfile";
        description = "Where the swap file is; it is made at boot if it is not there.";
      };
    };

    zramPercent = mkOption {
      type = types.ints.between 0 200;
      default = 50;
      example = 25;
      description = "How much may be swapped to compressed memory, in percent of the machine's memory; 0 for none.";
    };

    swappiness = mkOption {
      type = types.nullOr (types.ints.between 0 200);
      default = if cfg.zramPercent > 0 then 150 else null;
      defaultText = lib.literalMD "150 with compressed memory, else the kernel's own";
      example = 60;
      description = "vm.swappiness: above 100 swapping is preferred to dropping file pages, which is right where swap is memory.";
    };
  };

  options.pantherOS.base.swap-memory = {
    hugePages = mkOption {
      type = types.enum [
        "always"
        "madvise"
      ];
      default = "madvise";
      description = "Whether programs get pages of 2 MiB without asking: fewer misses in large heaps, some memory lost in small ones.";
    };

    channels = mkOption {
      type = types.nullOr types.ints.positive;
      default = null;
      example = 2;
      description = "How many channels the memory has. The firmware interleaves them by itself where each has a module; a unit fails, and so is seen, where fewer are in use.";
    };

    errorLog = lib.mkEnableOption "the record of memory errors that the hardware reports (rasdaemon; `ras-mc-ctl --summary`)";
  };

  config = lib.mkIf cfg.enable {
    boot.kernelParams = [ "transparent_hugepage=${cfg.hugePages}" ];

    hardware.rasdaemon.enable = lib.mkIf cfg.errorLog true;

    systemd.services.memory-channels = lib.mkIf (cfg.channels != null) {
      description = "Check that all memory channels are in use";
      wantedBy = [ "multi-user.target" ];
      path = [
        pkgs.dmidecode
        pkgs.gawk
      ];
      # SMBIOS lists slots and soldered chips alike; "Size: No Module Installed"
      # is an empty one.
      script = ''
        used=$(dmidecode --type 17 | awk '$1 == "Size:" && $2 != "No" { n++ } END { print n + 0 }')
        if [ "$used" -lt ${toString cfg.channels} ]; then
          echo "$used of ${toString cfg.channels} memory channels are in use, see dmidecode --type 17" >&2
          exit 1
        fi
      '';
      serviceConfig = {
        Type = "oneshot";
        ProtectSystem = "strict";
        ProtectHome = true;
        PrivateNetwork = true;
      };
    };

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
