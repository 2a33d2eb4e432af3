# Boot loader and kernel: systemd-boot for UEFI, GRUB for a BIOS or by choice.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.base.boot-loader;
in
{
  options.pantherOS.base.boot-loader = {
    enable = lib.mkEnableOption "the boot loader";

    firmware = mkOption {
      type = types.enum [
        "uefi"
        "bios"
      ];
      default = "uefi";
      description = "What starts the boot loader: a fact about the machine.";
    };

    loader = mkOption {
      type = types.enum [
        "systemd-boot"
        "grub"
      ];
      default = if cfg.firmware == "uefi" then "systemd-boot" else "grub";
      defaultText = lib.literalMD "`systemd-boot` with UEFI, else `grub`";
      description = "The boot loader.";
    };

    generations = mkOption {
      type = types.ints.positive;
      default = 10;
      example = 20;
      description = "How many generations the menu offers; their kernels must fit on /boot.";
    };

    timeout = mkOption {
      type = types.ints.unsigned;
      default = 3;
      example = 0;
      description = "Seconds before the newest generation starts.";
    };

    kernel = mkOption {
      type = types.enum [
        "lts"
        "latest"
      ];
      default = "lts";
      description = "Which kernel of the release: the one with long-term support, or the newest, for newer hardware.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.loader == "systemd-boot" -> cfg.firmware == "uefi";
        message = "systemd-boot needs UEFI: set pantherOS.base.boot-loader.loader = \"grub\" on a machine with a BIOS.";
      }
    ];

    boot.kernelPackages = lib.mkIf (cfg.kernel == "latest") pkgs.linuxPackages_latest;

    boot.loader = {
      inherit (cfg) timeout;
      efi.canTouchEfiVariables = cfg.firmware == "uefi";

      systemd-boot = lib.mkIf (cfg.loader == "systemd-boot") {
        enable = true;
        configurationLimit = cfg.generations;
        # The editor would give everybody at the keyboard a root shell.
        editor = false;
      };

      grub = {
        enable = cfg.loader == "grub";
        configurationLimit = cfg.generations;
        efiSupport = cfg.firmware == "uefi";
        # With UEFI GRUB is a file; with a BIOS disko names the disk, or the
        # host does with boot.loader.grub.devices.
        device = lib.mkIf (cfg.firmware == "uefi") "nodev";
      };
    };
  };
}
