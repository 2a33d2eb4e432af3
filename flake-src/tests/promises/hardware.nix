# modules/hardware.
{ is, has, some, ... }:
let
  niri.desktop.compositor.niri.enable = true;
  kdl = has "environment.etc.niri/config.kdl.text";
in
{
  "modules/hardware/laptop/battery.nix" = {
    line = "Battery management";
    more = "Battery management and power optimization";
    facts = [
      (is "services.tlp.enable" true)
      (is "services.tlp.settings.STOP_CHARGE_THRESH_BAT0" 80)
      (is "services.upower.criticalPowerAction" "PowerOff")
    ];
  };
  "modules/hardware/laptop/thermal.nix" = {
    line = "Thermal management";
    more = "Thermal management and fan control";
    also.hardware.laptop.thermal = {
      fanControl = "asus";
      keyboardColor = "ff6600";
    };
    facts = [
      (is "services.thermald.enable" true)
      (is "services.asusd.enable" true)
      (some "systemd.services.asus-settings.script")
      (has "environment.systemPackages" "lm-sensors")
    ];
  };
  "modules/hardware/laptop/touchpad.nix" = {
    line = "Touchpad configuration";
    more = "Touchpad configuration and gestures";
    also = niri;
    facts = [
      (kdl "touchpad {")
      (kdl "natural-scroll")
      (kdl "hot-corners")
    ];
  };
  "modules/hardware/laptop/keyboard.nix" = {
    line = "Keyboard layout and options";
    more = "Keyboard layout and backlight control";
    also = niri;
    facts = [
      (kdl ''layout "us"'')
      (kdl "XF86KbdBrightnessUp")
      (has "environment.systemPackages" "brightnessctl")
    ];
  };
  "modules/hardware/laptop/display.nix" = {
    line = "Display scaling and rotation";
    more = "Display scaling, rotation, and multi-monitor setup";
    what = "Scale and several screens are hardware/display.nix and desktop/display/multi-monitor.nix";
    also = niri // {
      hardware.laptop.display = {
        autoRotate = true;
        tabletMode = true;
        touch = true;
        notes = true;
      };
    };
    facts = [
      (kdl "XF86MonBrightnessUp")
      (kdl "tablet-mode-on")
      (kdl "map-to-output")
      (is "hardware.sensor.iio.enable" true)
      (some "systemd.user.services.rotate-panel.script")
      (some "systemd.user.services.on-screen-keyboard.serviceConfig.ExecStart")
      (has "environment.systemPackages" "rnote")
    ];
  };
  "modules/hardware/gpu/nvidia.nix" = {
    line = "NVIDIA drivers and CUDA";
    more = "NVIDIA drivers, CUDA, and Wayland compatibility";
    also.hardware.gpu.nvidia = {
      prime = "offload";
      cuda = true;
      intelBusId = "PCI:0:2:0";
      nvidiaBusId = "PCI:1:0:0";
    };
    facts = [
      (has "services.xserver.videoDrivers" "nvidia")
      (is "hardware.nvidia.modesetting.enable" true)
      (is "hardware.nvidia.prime.offload.enable" true)
      (is "hardware.nvidia-container-toolkit.enable" true)
      (has "environment.systemPackages" "cuda_nvcc")
    ];
  };
  "modules/hardware/gpu/amd.nix" = {
    line = "AMD GPU configuration";
    more = "AMD GPU configuration and optimization";
    also.hardware.gpu.amd = {
      opencl = true;
      performanceLevel = "high";
    };
    facts = [
      (is "hardware.amdgpu.initrd.enable" true)
      (is "hardware.amdgpu.opencl.enable" true)
      (has "services.udev.extraRules" "power_dpm_force_performance_level")
      (has "environment.systemPackages" "radeontop")
    ];
  };
  "modules/hardware/gpu/intel.nix" = {
    line = "Intel integrated graphics";
    more = "Intel integrated graphics setup";
    facts = [
      (has "boot.initrd.kernelModules" "i915")
      (has "hardware.graphics.extraPackages" "intel-media-driver")
      (is "environment.sessionVariables.LIBVA_DRIVER_NAME" "iHD")
    ];
  };
  "modules/hardware/gpu/wayland-gpu.nix" = {
    line = "Wayland-specific GPU setup";
    more = "Wayland-specific GPU optimizations";
    also = niri // {
      hardware.gpu = {
        nvidia.enable = true;
        wayland-gpu.renderDevice = "/dev/dri/renderD128";
      };
    };
    facts = [
      (kdl "render-drm-device")
      (is "environment.sessionVariables.GBM_BACKEND" "nvidia-drm")
      (some "environment.etc.nvidia/nvidia-application-profiles-rc.d/50-niri.json.text")
      (has "environment.systemPackages" "vulkan-tools")
    ];
  };
  "modules/hardware/audio/pipewire.nix" = {
    line = "PipeWire configuration";
    more = "PipeWire configuration and setup";
    also = niri;
    facts = [
      (is "services.pipewire.enable" true)
      (is "services.pipewire.pulse.enable" true)
      (is "security.rtkit.enable" true)
      (kdl "XF86AudioMute")
    ];
  };
  "modules/hardware/audio/bluetooth-audio.nix" = {
    line = "Bluetooth audio support";
    more = "Bluetooth audio device support";
    also.hardware = {
      audio.pipewire.enable = true;
      connectivity.bluetooth.enable = true;
    };
    facts = [
      (is "services.pipewire.wireplumber.extraConfig.50-bluetooth.monitor.bluez.properties.bluez5.enable-msbc" true)
      (is "hardware.bluetooth.settings.General.Experimental" true)
    ];
  };
  "modules/hardware/audio/audio-quality.nix" = {
    line = "Audio optimization";
    more = "Audio quality optimization and tuning";
    also.hardware.audio.pipewire.enable = true;
    facts = [
      (is "services.pipewire.extraConfig.pipewire.50-quality.context.properties.default.clock.quantum" 1024)
      (is "services.pipewire.extraConfig.client.50-quality.stream.properties.resample.quality" 10)
    ];
  };
  "modules/hardware/connectivity/wifi.nix" = {
    line = "WiFi drivers and configuration";
    what = "Networks and privacy are networking/wifi.nix";
    also.hardware.connectivity.wifi.country = "DE";
    facts = [
      (is "hardware.wirelessRegulatoryDatabase" true)
      (has "boot.extraModprobeConfig" "ieee80211_regdom=DE")
      (has "environment.systemPackages" "iw")
    ];
  };
  "modules/hardware/connectivity/bluetooth.nix" = {
    line = "Bluetooth configuration";
    facts = [ (is "hardware.bluetooth.enable" true) ];
  };
  "modules/hardware/connectivity/usb.nix" = {
    line = "USB device management";
    also.hardware.connectivity.usb.guard.enable = true;
    facts = [
      (is "services.udisks2.enable" true)
      (is "services.usbguard.enable" true)
      (has "environment.systemPackages" "usbutils")
    ];
  };
  "modules/hardware/connectivity/thunderbolt.nix" = {
    line = "Thunderbolt support";
    facts = [
      (is "services.hardware.bolt.enable" true)
      (has "boot.initrd.availableKernelModules" "thunderbolt")
      (has "boot.kernelParams" "intel_iommu=on")
    ];
  };
  "modules/hardware/display.nix" = {
    line = null;
    what = "Named by yoga and zephyrus as modules/hardware/display.nix: resolution, rate, scale, place and colours of screens";
    also = niri // {
      hardware.display = {
        outputs."eDP-1".scale = "1.5";
        colorManagement = true;
      };
    };
    facts = [
      (kdl ''output "eDP-1" {'')
      (is "services.colord.enable" true)
      (has "environment.systemPackages" "argyllcms")
    ];
    onHosts = [ (kdl ''output "DP-1" {'') ];
  };
}
