# modules/base.
{ is, has, some, ... }:
{
  "modules/base/time-locale.nix" = {
    line = "Time zone and locale";
    more = "Time zone, locale, and internationalization";
    also.base.time-locale = {
      formats = "en_DK.UTF-8";
      locale = "en_GB.UTF-8";
    };
    facts = [
      (is "time.timeZone" "UTC")
      (is "i18n.defaultLocale" "en_GB.UTF-8")
      (is "i18n.extraLocaleSettings.LC_TIME" "en_DK.UTF-8")
    ];
  };
  "modules/base/users-groups.nix" = {
    line = "User and group management";
    more = "User accounts, groups, and permissions";
    also.base.users-groups = {
      users.somebody = { };
      admins = [ "somebody" ];
    };
    facts = [
      (is "users.users.somebody.isNormalUser" true)
      (has "users.users.somebody.extraGroups" "wheel")
      (is "security.sudo.execWheelOnly" true)
    ];
  };
  "modules/base/file-systems.nix" = {
    line = "File system configuration";
    more = "File system mounting and options";
    also.base = {
      boot-loader.enable = true;
      file-systems = {
        systemDisk = "/dev/vda";
        ssd = true;
        dataDisks.data = {
          device = "/dev/vdb";
          mountPoint = "/data";
          cache.size = "10G";
        };
      };
    };
    facts = [
      (is "disko.devices.disk.system.device" "/dev/vda")
      (has "fileSystems./home.options" "nosuid")
      (has "fileSystems./.options" "noatime")
      (is "services.btrfs.autoScrub.enable" true)
      (is "boot.bcache.enable" true)
    ];
  };
  "modules/base/swap-memory.nix" = {
    line = "Swap and memory management";
    more = "Swap configuration and memory management";
    also.base.swap-memory = {
      file.size = 4096;
      channels = 2;
      errorLog = true;
    };
    facts = [
      (is "zramSwap.enable" true)
      (some "swapDevices")
      (is "boot.kernel.sysctl.vm.swappiness" 150)
      (has "boot.kernelParams" "transparent_hugepage=madvise")
      (is "hardware.rasdaemon.enable" true)
      (some "systemd.services.memory-channels.script")
    ];
  };
  "modules/base/boot-loader.nix" = {
    line = "Boot loader configuration";
    more = "Boot loader configuration (systemd-boot/GRUB)";
    also = { };
    facts = [
      (is "boot.loader.systemd-boot.enable" true)
      (is "boot.loader.systemd-boot.editor" false)
      (is "boot.loader.systemd-boot.configurationLimit" 10)
      (is "boot.loader.timeout" 3)
    ];
  };
  "modules/base/unfree-packages.nix" = {
    line = null;
    what = "Which unfree packages are allowed: one list, to which the modules that need one add it";
    on.base.unfree-packages = [ "vscode" ];
    off.base.unfree-packages = [ ];
    facts = [ (some "nixpkgs.config.allowUnfreePredicate") ];
  };
}
