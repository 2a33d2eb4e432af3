# The rest of the brief's tree, and its other words: where what they ask for is.
{
  files = {
    "flake.nix" = {
      line = "Main flake configuration";
      what = "Written by `panther generate` from hosts.toml; its outputs are lib/outputs.nix";
    };
    "flake.lock" = {
      line = "Pinned dependency versions";
      what = "docs/flake-lock.md";
    };
    "lib/mkSystem.nix" = {
      line = "System configuration builder";
      what = "A host of hosts.toml: all modules, its profiles, its folder, its inputs' modules";
    };
    "lib/mkHome.nix" = {
      line = "Home Manager configuration builder";
      what = "A person's home on a host: home/<person> and the host's home.nix";
    };
    "lib/secrets.nix" = {
      line = "OpNix helper functions";
      what = "From a name of secrets/map.nix to its reference; what templates name";
    };
    "lib/hardware.nix" = {
      line = "Hardware detection utilities";
      what = "Types for what the machine says of itself: disks, GPU addresses as lspci prints them. Detecting at evaluation would not be reproducible";
    };
    "lib/validation.nix" = {
      line = "Configuration validation";
      what = "`nix eval --json path:.#lib.validation.HOST`: settings, services, CIS, problems";
    };
    "secrets/map.nix" = {
      line = "Secret definitions mapping";
      what = "The one list: name and place in the vault";
    };
    "secrets/templates" = {
      line = "Secret templates";
      what = "Environment files for services";
    };
    "secrets/validation.nix" = {
      line = "Secret validation";
      what = "Evaluated with every host that has secrets";
    };
    "tests/unit" = {
      line = "Unit tests for modules";
      what = "docs/flake-tests.md";
    };
    "tests/integration" = {
      line = "Integration tests";
      what = "docs/flake-tests.md";
    };
    "tests/validation" = {
      line = "Configuration validation";
      what = "docs/flake-tests.md";
    };
  };

  # What the brief's samples write, and what works. Names of options below
  # pantherOS. are paths of modules.
  samples = [
    {
      brief = "imports = [ <pantherOS/…> ]";
      here = "`profiles` of the host in hosts.toml; every module is imported and is inert until `enable`";
      file = "lib/mkSystem.nix";
    }
    {
      brief = "hardware.enableAllFirmware";
      here = "`hardware.enableRedistributableFirmware`: the machines need no other";
      file = "profiles/workstation/base.nix";
    }
    {
      brief = "hardware.nvidia.prime.offload.enable, enableOffloadCmd";
      here = "`pantherOS.hardware.gpu.nvidia.prime = \"offload\"`, which sets both, the driver and the bus ids";
      file = "modules/hardware/gpu/nvidia.nix";
    }
    {
      brief = "hardware.nvidia.prime.powerManagement.enable";
      here = "`hardware.nvidia.powerManagement.{enable,finegrained}`";
      file = "modules/hardware/gpu/nvidia.nix";
    }
    {
      brief = "hardware.amdgpu.powerProfile";
      here = "`pantherOS.hardware.gpu.amd.performanceLevel`";
      file = "modules/hardware/gpu/amd.nix";
    }
    {
      brief = "hardware.cpu.amd.thermalManagement";
      here = "no such option: nixos-hardware's common-cpu-amd-pstate";
      file = "hosts/desktop/hardware-configuration.nix";
    }
    {
      brief = "hardware.cpu.intel.pstate";
      here = "no such option: TLP's energy policy, `pantherOS.hardware.laptop.battery.onMains`";
      file = "modules/hardware/laptop/battery.nix";
    }
    {
      brief = "services.xserver.enable = false";
      here = "so it is; X11 programs run under Xwayland";
      file = "profiles/workstation/gui.nix";
    }
    {
      brief = "services.xserver.xrandrHeads";
      here = "X11's; on Wayland `pantherOS.hardware.display.outputs`";
      file = "modules/hardware/display.nix";
    }
    {
      brief = "services.tlp.enable";
      here = "`pantherOS.hardware.laptop.battery.enable`";
      file = "modules/hardware/laptop/battery.nix";
    }
    {
      brief = "services.actkbd.enable";
      here = "keys are niri's on Wayland: `pantherOS.desktop.compositor.niri.binds`";
      file = "modules/hardware/laptop/keyboard.nix";
    }
    {
      brief = "services.openssh.enable, settings.HostKey";
      here = "`pantherOS.security.secrets.ssh-hardening.{enable,vaultHostKey}`";
      file = "modules/security/secrets/ssh-hardening.nix";
    }
    {
      brief = "openssh.authorizedKeys.keys from OpNix";
      here = "`pantherOS.base.users-groups.users.<name>.authorizedKeys`, or `pantherOS.security.secrets.ssh-hardening.workstationKey` from the vault";
      file = "modules/base/users-groups.nix";
    }
    {
      brief = "services.monitoring.prometheus.enable";
      here = "`pantherOS.services.monitoring.metrics.enable`";
      file = "modules/services/monitoring/metrics.nix";
    }
    {
      brief = "services.datadog.agent";
      here = "`pantherOS.services.monitoring.datadog.*`";
      file = "modules/services/monitoring/datadog.nix";
    }
    {
      brief = "networking.firewall.enable, networking.nftables.tables";
      here = "`pantherOS.security.firewall.nftables.enable`; what else may come in: `pantherOS.security.firewall.rules.allow`";
      file = "modules/security/firewall/rules.nix";
    }
    {
      brief = "boot.kernelParams with kernel.dmesg_restrict and the like";
      here = "sysctls: `boot.kernel.sysctl`";
      file = "modules/security/hardening/kernel.nix";
    }
    {
      brief = "security.apparmor.enable, boot.kernelModules apparmor";
      here = "`security.apparmor.enable`; it is built in, not a module";
      file = "modules/security/hardening/kernel.nix";
    }
    {
      brief = "security.audit.enable, security.auditd.enable";
      here = "`pantherOS.security.audit.auditd.*`";
      file = "modules/security/audit/auditd.nix";
    }
    {
      brief = "security.loginuid";
      here = "no such option: PAM sets it at each login";
      file = "modules/security/audit/auditd.nix";
    }
    {
      brief = "services.opnix.{enable,vault,secrets}";
      here = "`pantherOS.security.secrets.opnix.{enable,items,paths}`; the vault is in every reference";
      file = "modules/security/secrets/opnix.nix";
    }
    {
      brief = "environment.variables with secrets";
      here = "never: `pantherOS.security.secrets.opnix.templates`, files for services";
      file = "secrets/templates/README.md";
    }
    {
      brief = "services.niri.package, override { debug = true; }";
      here = "`pantherOS.desktop.compositor.niri.package`; debug mode is in docs/workflows.md";
      file = "modules/desktop/compositor/niri.nix";
    }
    {
      brief = "environment.variables.WAYLAND_DEBUG";
      here = "`pantherOS.desktop.compositor.wayland-protocols.debug`";
      file = "modules/desktop/compositor/wayland-protocols.nix";
    }
    {
      brief = "nixConfig: max-jobs, cores, experimental-features";
      here = "`nix.settings`: `nixConfig` is ignored unless every user accepts it, and cores = \"auto\" is not valid";
      file = "profiles/common/base.nix";
    }
    {
      brief = "nixConfig: extra-substituters, build-users-group";
      here = "`pantherOS.services.cache.local-cache.caches`; the group is NixOS's own";
      file = "modules/services/cache/local-cache.nix";
    }
    {
      brief = "swapDevices with /dev/swap";
      here = "`pantherOS.base.swap-memory.file.size`, and compressed memory";
      file = "modules/base/swap-memory.nix";
    }
    {
      brief = "home-manager.users.hayden.imports";
      here = "the person's own folder";
      file = "home/hayden/default.nix";
    }
    {
      brief = "time zone, locale, keyboard";
      here = "`pantherOS.base.time-locale.*`";
      file = "modules/base/time-locale.nix";
    }
  ];

  # Its headings that are not of the tree.
  headings = [
    {
      brief = "Layered Configuration System";
      here = "modules, profiles, hosts: `lib/mkSystem.nix`, and `profiles` of each host in hosts.toml";
    }
    {
      brief = "Host-Specific Requirements, Configuration Priorities";
      here = "docs/hosts.md, line by line";
    }
    {
      brief = "Common Import Patterns: workstation base";
      here = "profiles/workstation";
    }
    {
      brief = "Common Import Patterns: server base";
      here = "profiles/server";
    }
    {
      brief = "Layer 1: user accounts, permissions, basic firewall, SSH";
      here = "modules/security/hardening/user-security.nix, modules/base/file-systems.nix, modules/security/firewall, modules/security/secrets/ssh-hardening.nix";
    }
    {
      brief = "Layer 2: Tailscale, filtering, DNS, segmentation";
      here = "modules/services/networking; what the fleet alone may reach listens for Tailscale's interface";
    }
    {
      brief = "Layer 3: services, containers, certificates, secrets";
      here = "modules/security/hardening/service-hardening.nix, modules/services/containers/container-security.nix, modules/security/secrets";
    }
    {
      brief = "Layer 4: logging, intrusion detection, audit, alerts";
      here = "modules/security/audit, modules/services/monitoring/alerting.nix";
    }
    {
      brief = "Secret Organization";
      here = "secrets/map.nix";
    }
    {
      brief = "Deployment Workflow, Maintenance Workflow, Validation Tools, Troubleshooting, Debug Mode";
      here = "docs/workflows.md";
    }
    {
      brief = "Maintenance Schedule";
      here = "modules/services/maintenance.nix, and docs/workflows.md";
    }
    {
      brief = "Testing Strategy";
      here = "docs/flake-tests.md";
    }
    {
      brief = "Build Performance, Remote Builds";
      here = "profiles/common/base.nix, modules/services/cache";
    }
    {
      brief = "Runtime Performance";
      here = "modules/base/swap-memory.nix, modules/hardware";
    }
    {
      brief = "Success Criteria: security compliance";
      here = "docs/cis.md; the score of each host is in every report";
    }
  ];
}
