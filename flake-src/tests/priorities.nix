# Each host's "Configuration Priorities" of the brief, line by line: which option
# does it, and what it must be. docs/hosts.md is this as a table, and
# tests/integration/priorities.nix evaluates every row on every host.
#
# Rows are as in rows.nix, with `why` where the option's name does not say it all,
# and `where`, the file that sets it.
let
  # Short names of files.
  yoga = "hosts/yoga/configuration.nix";
  zephyrus = "hosts/zephyrus/configuration.nix";
  zephyrusHardware = "hosts/zephyrus/hardware-configuration.nix";
  desktop = "hosts/desktop/configuration.nix";
  desktopHardware = "hosts/desktop/hardware-configuration.nix";
  vps = "hosts/ovh-cloud-vps/configuration.nix";
  laptop = "profiles/workstation/laptop.nix";
  rows = import ./rows.nix;
  is = where: option: value: rows.is option value // { inherit where; };
  has = where: option: part: rows.has option part // { inherit where; };
  some = where: option: rows.some option // { inherit where; };
  because = why: row: row // { inherit why; };
in
{
  yoga = [
    {
      line = "Battery optimization and power management";
      rows = [
        (is laptop "pantherOS.hardware.laptop.battery.enable" true)
        (is "modules/hardware/laptop/battery.nix" "services.tlp.enable" true)
        (because "charging stops there, so that the battery lasts for years" (
          is "modules/hardware/laptop/battery.nix" "services.tlp.settings.STOP_CHARGE_THRESH_BAT0" 80
        ))
        (is yoga "pantherOS.hardware.laptop.battery.turboOnBattery" false)
        (is "modules/hardware/laptop/battery.nix" "services.power-profiles-daemon.enable" false)
      ];
    }
    {
      line = "Touchscreen and pen input support";
      rows = [
        (because "fingers and pen belong to the panel, also with other screens" (
          is yoga "pantherOS.hardware.laptop.display.touch" true
        ))
        (has "modules/hardware/laptop/display.nix" "pantherOS.desktop.compositor.niri.sections.input" "tablet {")
        (because "Rnote, to write with the pen" (is yoga "pantherOS.hardware.laptop.display.notes" true))
      ];
    }
    {
      line = "2-in-1 mode detection and configuration";
      rows = [
        (because "folded, a keyboard appears on the screen" (
          is yoga "pantherOS.hardware.laptop.display.tabletMode" true
        ))
        (because "the picture turns with the machine" (
          is yoga "pantherOS.hardware.laptop.display.autoRotate" true
        ))
        (is "modules/hardware/laptop/display.nix" "hardware.sensor.iio.enable" true)
        (has "modules/hardware/laptop/display.nix" "pantherOS.desktop.compositor.niri.sections.switch-events" "tablet-mode-on")
      ];
    }
    {
      line = "Hybrid GPU switching (Intel/NVIDIA)";
      rows = [
        (is yoga "pantherOS.hardware.gpu.nvidia.prime" "offload")
        (is "modules/hardware/gpu/nvidia.nix" "hardware.nvidia.prime.offload.enable" true)
        (because "`nvidia-offload PROGRAM`" (
          is "modules/hardware/gpu/nvidia.nix" "hardware.nvidia.prime.offload.enableOffloadCmd" true
        ))
        (because "the GPU is off while nothing runs on it" (
          is "modules/hardware/gpu/nvidia.nix" "hardware.nvidia.powerManagement.finegrained" true
        ))
        (because "assumed, to confirm with lspci" (
          is "hosts/yoga/hardware-configuration.nix" "hardware.nvidia.prime.nvidiaBusId" "PCI:1:0:0"
        ))
      ];
    }
    {
      line = "Thermal management for sustained performance";
      rows = [
        (is laptop "pantherOS.hardware.laptop.thermal.enable" true)
        (is "modules/hardware/laptop/thermal.nix" "services.thermald.enable" true)
      ];
    }
    {
      line = "Feature: fingerprint reader";
      rows = [ (is yoga "services.fprintd.enable" true) ];
    }
    {
      line = "Feature: backlit keyboard";
      rows = [ (some laptop "pantherOS.hardware.laptop.keyboard.backlight") ];
    }
  ];

  zephyrus = [
    {
      line = "High-performance RTX 3070 Ti GPU configuration with Wayland support";
      rows = [
        (is zephyrus "pantherOS.hardware.gpu.nvidia.enable" true)
        (is zephyrus "pantherOS.hardware.gpu.nvidia.cuda" true)
        (because "up to 120 W for the GPU while the processor leaves it room" (
          is zephyrus "hardware.nvidia.dynamicBoost.enable" true
        ))
        (because "Wayland compositors need it" (
          is "modules/hardware/gpu/nvidia.nix" "hardware.nvidia.modesetting.enable" true
        ))
        (some zephyrusHardware "pantherOS.hardware.gpu.wayland-gpu.renderDevice")
      ];
    }
    {
      line = "12th Gen Intel i9 optimization for high-performance workloads";
      rows = [
        (because "newer kernels place work better on its two kinds of cores" (
          is zephyrus "pantherOS.base.boot-loader.kernel" "latest"
        ))
        (is zephyrus "pantherOS.hardware.laptop.battery.onMains" "performance")
        (is "modules/hardware/laptop/battery.nix" "services.tlp.settings.CPU_ENERGY_PERF_POLICY_ON_AC" "performance")
      ];
    }
    {
      line = "165Hz WQXGA display configuration with color accuracy";
      rows = [
        (because "with no rate named niri takes the panel's highest, 165 Hz" (
          is zephyrusHardware "pantherOS.hardware.display.outputs.eDP-1.mode.width" 2560
        ))
        (is zephyrusHardware "pantherOS.hardware.display.outputs.eDP-1.mode.refresh" null)
        (is zephyrusHardware "pantherOS.hardware.display.outputs.eDP-1.variableRefreshRate" "on-demand")
        (because "ICC profiles for programs, and ArgyllCMS to measure one; the panel's own goes to outputs.eDP-1.colorProfile" (
          is zephyrusHardware "pantherOS.hardware.display.colorManagement" true
        ))
        (is "modules/hardware/display.nix" "services.colord.enable" true)
      ];
    }
    {
      line = "Advanced thermal management for sustained performance";
      rows = [
        (is zephyrus "pantherOS.hardware.laptop.thermal.fanControl" "asus")
        (because "steeper than the firmware's" (
          some zephyrus "pantherOS.hardware.laptop.thermal.fanCurves.performance"
        ))
        (is "modules/hardware/laptop/thermal.nix" "services.thermald.enable" true)
      ];
    }
    {
      line = "DDR5 memory optimization and dual-channel configuration";
      rows = [
        (because "a unit fails where the second channel is empty" (
          is zephyrus "pantherOS.base.swap-memory.channels" 2
        ))
        (is zephyrus "pantherOS.base.swap-memory.hugePages" "always")
        (is "modules/base/swap-memory.nix" "hardware.rasdaemon.enable" true)
        (is "modules/base/swap-memory.nix" "zramSwap.enable" true)
      ];
    }
    {
      line = "PCIe 4.0 SSD optimization";
      rows = [
        (is "profiles/common/ssd-optimization.nix" "pantherOS.base.file-systems.ssd" true)
        (is "modules/base/file-systems.nix" "services.fstrim.enable" true)
        (has "modules/base/file-systems.nix" "fileSystems./.options" "noatime")
      ];
    }
    {
      line = "ROG features integration (RGB, cooling, display)";
      rows = [
        (is "modules/hardware/laptop/thermal.nix" "services.asusd.enable" true)
        (is zephyrus "pantherOS.hardware.laptop.thermal.keyboardColor" "ff6600")
        (because "the MUX switch" (is zephyrus "services.supergfxd.enable" true))
      ];
    }
  ];

  desktop = [
    {
      line = "Multi-monitor configuration and scaling";
      rows = [
        (is desktop "pantherOS.desktop.display.multi-monitor.enable" true)
        (is desktopHardware "pantherOS.hardware.display.outputs.DP-1.mode.width" 3440)
        (because "to the right of the ultrawide one" (
          is "modules/desktop/display/multi-monitor.nix" "pantherOS.hardware.display.outputs.DP-2.position.x" 3440
        ))
        (is "modules/hardware/display.nix" "pantherOS.hardware.display.outputs.DP-1.scale" "1")
      ];
    }
    {
      line = "AMD GPU optimization";
      rows = [
        (is desktop "pantherOS.hardware.gpu.amd.performanceLevel" "high")
        (is "modules/hardware/gpu/amd.nix" "hardware.amdgpu.initrd.enable" true)
        (is "modules/hardware/gpu/amd.nix" "hardware.amdgpu.opencl.enable" true)
        (has "modules/hardware/gpu/amd.nix" "services.udev.extraRules" "power_dpm_force_performance_level")
      ];
    }
    {
      line = "High-performance CPU configuration";
      rows = [ (is desktop "powerManagement.cpuFreqGovernor" "performance") ];
    }
    {
      line = "Storage optimization (SSD caching)";
      rows = [
        (because "bcache: what is read often of the hard disk comes from the SSD" (
          is desktopHardware "pantherOS.base.file-systems.dataDisks.data.cache.size" "200G"
        ))
        (is "modules/base/file-systems.nix" "boot.bcache.enable" true)
        (is "modules/base/file-systems.nix" "fileSystems./data.device" "/dev/disk/by-label/data")
        (is "modules/base/file-systems.nix" "services.fstrim.enable" true)
      ];
    }
    {
      line = "Professional development environment";
      rows = [
        (is "profiles/workstation/devtools.nix" "pantherOS.apps.development.ide.enable" true)
        (has desktop "pantherOS.apps.development.ide.jetbrains" "goland")
        (is "profiles/workstation/devtools.nix" "pantherOS.apps.development.language-tools.enable" true)
        (is "profiles/workstation/devtools.nix" "virtualisation.podman.enable" true)
      ];
    }
  ];

  ovh-cloud-vps = [
    {
      line = "Minimal server configuration";
      rows = [
        (is "profiles/server/base.nix" "documentation.enable" false)
        (is "profiles/server/base.nix" "fonts.fontconfig.enable" false)
        (is "profiles/server/base.nix" "xdg.mime.enable" false)
        (is vps "services.qemuGuest.enable" true)
      ];
    }
    {
      line = "Security hardening";
      rows = [
        (is "profiles/server/base.nix" "pantherOS.security.secrets.ssh-hardening.enable" true)
        (is "modules/security/secrets/ssh-hardening.nix" "services.openssh.settings.PermitRootLogin" "no")
        (is "profiles/common/base.nix" "pantherOS.security.hardening.kernel.enable" true)
        (is "modules/security/hardening/kernel.nix" "security.apparmor.enable" true)
        (is "profiles/common/base.nix" "networking.nftables.enable" true)
        (is "modules/security/audit/auditd.nix" "security.auditd.enable" true)
        (is "modules/security/audit/intrusion-detection.nix" "services.fail2ban.enable" true)
      ];
    }
    {
      line = "Monitoring and alerting";
      rows = [
        (is "profiles/server/monitoring.nix" "pantherOS.services.monitoring.metrics.enable" true)
        (is "modules/services/monitoring/metrics.nix" "services.prometheus.exporters.node.enable" true)
        (is "modules/services/monitoring/alerting.nix" "services.prometheus.alertmanager.enable" true)
        (is "profiles/server/monitoring.nix" "services.datadog-agent.enable" true)
        (because "the logs of the other machines" (
          is "profiles/server/monitoring.nix" "services.journald.remote.enable" true
        ))
      ];
    }
    {
      line = "Container orchestration";
      rows = [
        (is "profiles/server/containers.nix" "virtualisation.podman.enable" true)
        (is "profiles/server/containers.nix" "pantherOS.services.containers.podman.autoUpdate" true)
        (is "profiles/server/containers.nix" "services.dockerRegistry.enable" true)
      ];
    }
    {
      line = "Automated backups";
      rows = [
        (is vps "pantherOS.services.backup.enable" true)
        (is "modules/services/backup.nix" "services.restic.backups.system.timerConfig.OnCalendar" "02:30")
        (is "modules/services/backup.nix" "services.postgresqlBackup.enable" true)
      ];
    }
  ];
}
