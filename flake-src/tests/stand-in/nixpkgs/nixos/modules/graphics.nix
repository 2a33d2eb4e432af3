# Graphics drivers, fonts, desktop portals and documentation: what a machine
# with a screen has.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  hw = config.hardware;
  nvidia = lib.elem "nvidia" config.services.xserver.videoDrivers;
  packages = mkOption {
    type = types.listOf types.package;
    default = [ ];
  };
  on = name: lib.mkEnableOption name // { default = true; };
  busId = mkOption {
    type = types.strMatching "([[:print:]]+:[0-9]{1,3}(@[0-9]{1,10})?:[0-9]{1,2}:[0-9])?";
    default = "";
  };
in
{
  options = {
    hardware.graphics = {
      enable = lib.mkEnableOption "hardware accelerated graphics";
      enable32Bit = lib.mkEnableOption "the same for 32-bit programs";
      extraPackages = packages;
      extraPackages32 = packages;
    };
    hardware.amdgpu = {
      initrd.enable = lib.mkEnableOption "amdgpu in the initial ramdisk";
      opencl.enable = lib.mkEnableOption "OpenCL by ROCm";
    };
    hardware.nvidia = {
      open = mkOption {
        type = types.nullOr types.bool;
        default = null;
      };
      package = mkOption {
        type = types.package;
        default = config.boot.kernelPackages.nvidiaPackages.stable;
      };
      modesetting.enable = lib.mkEnableOption "modesetting";
      powerManagement.enable = lib.mkEnableOption "power management";
      powerManagement.finegrained = lib.mkEnableOption "switching off when idle";
      prime = {
        intelBusId = busId;
        nvidiaBusId = busId;
        offload.enable = lib.mkEnableOption "offloading";
        offload.enableOffloadCmd = lib.mkEnableOption "the command nvidia-offload";
        sync.enable = lib.mkEnableOption "sync mode";
      };
    };
    services.xserver.videoDrivers = mkOption {
      type = types.listOf types.str;
      default = [ "modesetting" ];
    };
    fonts = {
      packages = mkOption {
        type = types.listOf types.path;
        default = [ ];
      };
      fontconfig.enable = on "fontconfig";
    };
    documentation.enable = on "documentation";
    xdg = {
      icons.enable = on "icon themes";
      mime.enable = on "file types";
      portal.extraPortals = packages;
    };
  };

  config = {
    assertions = [
      {
        assertion = nvidia -> hw.nvidia.open != null;
        message = "You must configure `hardware.nvidia.open` on NVIDIA driver versions >= 560.";
      }
      {
        assertion =
          hw.nvidia.prime.offload.enable || hw.nvidia.prime.sync.enable
          -> hw.nvidia.prime.nvidiaBusId != "" && hw.nvidia.prime.intelBusId != "";
        message = "When NVIDIA PRIME is enabled, the GPU bus IDs must be configured.";
      }
    ];

    hardware.graphics.extraPackages =
      lib.optional nvidia hw.nvidia.package ++ lib.optional hw.amdgpu.opencl.enable pkgs.rocm-clr;
    boot.extraModulePackages = lib.optional nvidia (
      if hw.nvidia.open == true then pkgs.nvidia-open else pkgs.nvidia-closed
    );
    boot.initrd.kernelModules = lib.optional hw.amdgpu.initrd.enable "amdgpu";
    boot.kernelParams = lib.optional (nvidia && hw.nvidia.modesetting.enable) "nvidia-drm.modeset=1";

    environment.systemPackages =
      lib.optional nvidia hw.nvidia.package
      ++ lib.optional (nvidia && hw.nvidia.prime.offload.enableOffloadCmd) (
        pkgs.writeShellScriptBin "nvidia-offload" ''
          export __NV_PRIME_RENDER_OFFLOAD=1
          export __GLX_VENDOR_LIBRARY_NAME=nvidia
          exec "$@"
        ''
      )
      ++ lib.optional config.documentation.enable pkgs.nixos-manual-html
      ++ lib.optional config.fonts.fontconfig.enable pkgs.fontconfig
      ++ lib.optionals hw.graphics.enable [
        pkgs.hicolor-icon-theme
        pkgs.adwaita-icon-theme
      ]
      ++ config.xdg.portal.extraPortals;

    systemd.tmpfiles.rules = lib.optional hw.graphics.enable "L+ /run/opengl-driver - - - - ${
      pkgs.buildEnv {
        name = "graphics-drivers";
        paths = [
          pkgs.mesa
          pkgs.vulkan-loader
        ]
        ++ hw.graphics.extraPackages;
        pathsToLink = [ "/lib" ];
      }
    }";
    environment.etc."fonts/fonts.conf" = lib.mkIf config.fonts.fontconfig.enable {
      text = lib.concatMapStrings (f: "<dir>${f}</dir>\n") (
        [ pkgs.dejavu_fonts ] ++ config.fonts.packages
      );
    };
    environment.etc."nvidia/parameters" = lib.mkIf nvidia {
      text = builtins.toJSON { inherit (hw.nvidia) open powerManagement prime; } + "\n";
    };
  };
}
