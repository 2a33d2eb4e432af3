# Kernel, its modules, firmware and sysctls, the initial ramdisk, boot loaders.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.boot;
  kernel = cfg.kernelPackages.kernel;
  strings = mkOption {
    type = types.listOf types.str;
    default = [ ];
  };
  names = mkOption {
    type = types.coercedTo (types.attrsOf types.bool) (
      set: lib.attrNames (lib.filterAttrs (_: on: on) set)
    ) (types.listOf types.str);
    default = [ ];
  };
  lines = mkOption {
    type = types.lines;
    default = "";
  };
in
{
  options = {
    boot = {
      kernelPackages = mkOption {
        type = types.raw;
        default = pkgs.linuxPackages;
      };
      kernelParams = strings;
      kernelModules = names;
      blacklistedKernelModules = strings;
      extraModprobeConfig = lines;
      extraModulePackages = mkOption {
        type = types.listOf types.package;
        default = [ ];
      };
      kernel.sysctl = mkOption {
        type = types.attrsOf (
          types.nullOr (types.oneOf [
            types.bool
            types.int
            types.str
          ])
        );
        default = { };
      };
      supportedFilesystems = names;
      initrd = {
        availableKernelModules = names;
        kernelModules = names;
        systemd.enable = lib.mkEnableOption "systemd in the initial ramdisk";
        luks.devices = mkOption {
          type = types.attrsOf types.attrs;
          default = { };
        };
      };
      loader = {
        timeout = mkOption {
          type = types.nullOr types.int;
          default = 5;
        };
        efi.canTouchEfiVariables = lib.mkEnableOption "changes to the firmware's boot entries";
        systemd-boot.enable = lib.mkEnableOption "systemd-boot";
        grub = {
          enable = lib.mkEnableOption "GRUB" // {
            default = true;
          };
          device = mkOption {
            type = types.str;
            default = "";
          };
          devices = strings;
          efiSupport = lib.mkEnableOption "GRUB for UEFI";
        };
      };
    };
    hardware.firmware = mkOption {
      type = types.listOf types.package;
      default = [ ];
    };
    hardware.enableAllFirmware = lib.mkEnableOption "all firmware";
    hardware.enableRedistributableFirmware =
      lib.mkEnableOption "firmware that may be redistributed"
      // {
        default = config.hardware.enableAllFirmware;
      };
    hardware.cpu = lib.genAttrs [
      "intel"
      "amd"
    ] (_: {
      updateMicrocode = lib.mkEnableOption "microcode updates at boot";
    });
  };

  config = {
    hardware.firmware = lib.mkIf config.hardware.enableRedistributableFirmware [
      pkgs.linux-firmware
      pkgs.alsa-firmware
      pkgs.sof-firmware
      pkgs.wireless-regdb
    ];
    environment.systemPackages =
      lib.optionals cfg.loader.grub.enable [ pkgs.grub2 ]
      ++ [ kernel.modules ];
    environment.pathsToLink = [ "/lib/modules" ];

    assertions = [
      {
        assertion =
          cfg.loader.grub.enable
          -> cfg.loader.grub.efiSupport || cfg.loader.grub.device != "" || cfg.loader.grub.devices != [ ];
        message = "You must set the option `boot.loader.grub.devices' or `boot.loader.grub.device' to make the system bootable.";
      }
      {
        assertion = !(cfg.loader.grub.enable && cfg.loader.systemd-boot.enable);
        message = "Only one boot loader can be enabled: turn off boot.loader.grub.enable or boot.loader.systemd-boot.enable.";
      }
    ];

    # What every NixOS kernel is told.
    boot.kernelParams = [ "loglevel=4" ];
    boot.kernel.sysctl = builtins.mapAttrs (_: lib.mkDefault) {
      "fs.inotify.max_user_watches" = 524288;
      "kernel.kptr_restrict" = 1;
      "kernel.printk" = "4 4 1 7";
      "net.ipv4.conf.all.forwarding" = false;
      "vm.max_map_count" = 1048576;
    };
    environment.etc = {
      "modules-load.d/nixos.conf".text = lib.concatLines (lib.unique cfg.kernelModules);
      "modprobe.d/nixos.conf".text =
        lib.concatMapStrings (m: "blacklist ${m}\n") cfg.blacklistedKernelModules
        + cfg.extraModprobeConfig;
      "sysctl.d/60-nixos.conf".text = lib.concatLines (
        lib.mapAttrsToList (
          n: v:
          "${n}=${
            if v == true then
              "1"
            else if v == false then
              "0"
            else
              toString v
          }"
        ) (lib.filterAttrs (_: v: v != null) cfg.kernel.sysctl)
      );
    };

    system.build = {
      inherit kernel;
      modulesTree = pkgs.buildEnv {
        name = "kernel-modules";
        paths = [ kernel.modules ] ++ cfg.extraModulePackages;
        pathsToLink = [ "/lib/modules" ];
      };
      firmware = pkgs.buildEnv {
        name = "firmware";
        paths = config.hardware.firmware;
        pathsToLink = [ "/lib/firmware" ];
      };
      # Its contents are the kernel modules asked for, so that machines with
      # other hardware have other ramdisks.
      initialRamdisk = pkgs.standInFiles "initrd-linux-${kernel.version}" ''
        mkdir $out
        {
          echo ${
            lib.escapeShellArg (
              toString (
                cfg.initrd.availableKernelModules
                ++ cfg.initrd.kernelModules
                ++ lib.attrNames cfg.initrd.luks.devices
              )
            )
          }
          ${lib.concatMapStrings (_: "emit packed 24000\n") (
            [ null ] ++ cfg.initrd.availableKernelModules ++ cfg.initrd.kernelModules
          )}
          ${lib.optionalString config.hardware.cpu.intel.updateMicrocode "cat ${pkgs.microcode-intel}/lib/firmware/*/*"}
          ${lib.optionalString config.hardware.cpu.amd.updateMicrocode "cat ${pkgs.microcode-amd}/lib/firmware/*/*"}
        } >$out/initrd
      '';
      installBootLoader =
        pkgs.writeShellScript "install-${
          if cfg.loader.systemd-boot.enable then "systemd-boot" else "grub"
        }.sh" ''
          echo "a stand-in: no boot loader is installed" >&2
          exit 1
          ${lib.optionalString cfg.loader.grub.enable (lib.getExe pkgs.grub2)}
          timeout ${toString cfg.loader.timeout}
          devices ${toString ([ cfg.loader.grub.device ] ++ cfg.loader.grub.devices)}
          efi ${lib.boolToString cfg.loader.efi.canTouchEfiVariables}'';
    };
  };
}
