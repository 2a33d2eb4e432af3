# profiles/, hosts/ and home/: what a host loses without the file.
{ is, has, some, ... }:
let
  hayden = option: "home-manager.users.hayden.${option}";
  package = has "environment.systemPackages";
  homePackage = has (hayden "home.packages");
in
{
  "profiles/common/base.nix" = {
    line = "Base system profile";
    facts = [
      (is "security.auditd.enable" true)
      (is "services.tailscale.enable" true)
      (is "security.apparmor.enable" true)
      (has "nix.settings.experimental-features" "flakes")
      (is "boot.loader.timeout" 3)
    ];
  };
  "profiles/common/time-locale.nix" = {
    line = "Time and locale";
    facts = [ (is "time.timeZone" "UTC") ];
  };
  "profiles/common/ssd-optimization.nix" = {
    line = "SSD optimization";
    facts = [ (has "fileSystems./.options" "noatime") ];
  };
  "profiles/common/maintenance.nix" = {
    line = "System maintenance";
    facts = [
      (package "panther-maintenance")
      (is "nix.gc.automatic" true)
      (is "nix.optimise.automatic" true)
    ];
  };
  "profiles/workstation/base.nix" = {
    line = "Basic workstation setup";
    facts = [
      (is "networking.networkmanager.enable" true)
      (is "services.pipewire.enable" true)
      (is "hardware.bluetooth.enable" true)
      (is "services.fwupd.enable" true)
      (is "services.journald.upload.enable" true)
    ];
  };
  "profiles/workstation/gui.nix" = {
    line = "GUI environment";
    facts = [
      (is "programs.niri.enable" true)
      (is "programs.dank-material-shell.enable" true)
      (is "programs.firefox.enable" true)
      (is "services.greetd.enable" true)
    ];
  };
  "profiles/workstation/devtools.nix" = {
    line = "Development tools";
    facts = [
      (is "programs.direnv.enable" true)
      (is "virtualisation.podman.enable" true)
      (package "gopls")
      (is "nix.settings.keep-outputs" true)
    ];
  };
  "profiles/workstation/media.nix" = {
    line = "Media applications";
    facts = [ (package "mpv") ];
  };
  "profiles/workstation/laptop.nix" = {
    line = "Laptop optimizations";
    facts = [
      (is "services.tlp.enable" true)
      (is "services.thermald.enable" true)
      (is "services.hardware.bolt.enable" true)
      (has "environment.etc.niri/config.kdl.text" "touchpad {")
    ];
  };
  "profiles/server/base.nix" = {
    line = "Basic server setup";
    facts = [
      (is "services.openssh.enable" true)
      (is "networking.useNetworkd" true)
      (is "services.atticd.enable" true)
      (is "documentation.enable" false)
      (is "security.protectKernelImage" true)
    ];
  };
  "profiles/server/monitoring.nix" = {
    line = "Monitoring and observability";
    facts = [
      (is "services.prometheus.enable" true)
      (is "services.prometheus.alertmanager.enable" true)
      (is "services.datadog-agent.enable" true)
      (is "services.journald.remote.enable" true)
    ];
  };
  "profiles/server/containers.nix" = {
    line = "Container orchestration";
    facts = [
      (is "virtualisation.podman.enable" true)
      (is "services.dockerRegistry.enable" true)
      (has "systemd.timers.podman-auto-update.wantedBy" "timers.target")
    ];
  };
  "profiles/server/database.nix" = {
    line = "Database services";
    facts = [
      (is "services.postgresql.enable" true)
      (is "services.redis.servers.main.enable" true)
    ];
  };

  "hosts/yoga/hardware-configuration.nix" = {
    line = "Hardware-specific config";
    host = "yoga";
    facts = [
      (has "boot.kernelModules" "kvm-intel")
      (has "environment.etc.niri/config.kdl.text" ''mode "1920x1080"'')
      (is "hardware.nvidia.prime.nvidiaBusId" "PCI:1:0:0")
    ];
  };
  "hosts/yoga/configuration.nix" = {
    line = "System configuration";
    host = "yoga";
    facts = [
      (is "services.fprintd.enable" true)
      (is "hardware.sensor.iio.enable" true)
      (is "hardware.nvidia.prime.offload.enable" true)
    ];
  };
  "hosts/yoga/home.nix" = {
    line = "Home Manager config";
    host = "yoga";
    facts = [ (homePackage "powertop") ];
  };
  "hosts/zephyrus/hardware-configuration.nix" = {
    line = null;
    host = "zephyrus";
    facts = [
      (has "boot.initrd.availableKernelModules" "vmd")
      (has "environment.etc.niri/config.kdl.text" ''mode "2560x1600"'')
    ];
  };
  "hosts/zephyrus/configuration.nix" = {
    line = null;
    host = "zephyrus";
    facts = [
      (is "services.supergfxd.enable" true)
      (is "services.asusd.enable" true)
      (is "services.datadog-agent.enable" true)
    ];
  };
  "hosts/zephyrus/home.nix" = {
    line = null;
    host = "zephyrus";
    facts = [ (is (hayden "programs.mangohud.enable") true) ];
  };
  "hosts/desktop/hardware-configuration.nix" = {
    line = null;
    host = "desktop";
    facts = [
      (has "boot.kernelModules" "kvm-amd")
      (is "boot.bcache.enable" true)
    ];
  };
  "hosts/desktop/configuration.nix" = {
    line = null;
    host = "desktop";
    facts = [
      (is "hardware.amdgpu.opencl.enable" true)
      (has "environment.etc.niri/config.kdl.text" "position x=3440 y=0")
      (is "powerManagement.cpuFreqGovernor" "performance")
    ];
  };
  "hosts/desktop/home.nix" = {
    line = null;
    host = "desktop";
    facts = [ (is (hayden "home.sessionVariables.XDG_VIDEOS_DIR") "/data/hayden/Videos") ];
  };
  "hosts/ovh-cloud-vps/hardware-configuration.nix" = {
    line = null;
    host = "ovh-cloud-vps";
    facts = [
      (is "services.qemuGuest.enable" true)
      (is "boot.loader.grub.enable" true)
    ];
  };
  "hosts/ovh-cloud-vps/configuration.nix" = {
    line = null;
    host = "ovh-cloud-vps";
    facts = [ (is "services.restic.backups.system.repository" "b2:pantheros-backups:ovh-cloud-vps") ];
  };
  "hosts/ovh-cloud-vps/home.nix" = {
    line = null;
    host = "ovh-cloud-vps";
    facts = [ (is (hayden "programs.tmux.enable") true) ];
  };

  "home/common/shells/fish.nix" = {
    line = "Fish shell setup";
    facts = [
      (is (hayden "programs.fish.enable") true)
      (is (hayden "programs.starship.enable") true)
    ];
  };
  "home/common/shells/zsh.nix" = {
    line = "Zsh configuration";
    facts = [ (is (hayden "programs.zsh.enable") true) ];
  };
  "home/common/shells/bash.nix" = {
    line = "Bash configuration";
    facts = [ (is (hayden "programs.bash.enable") true) ];
  };
  "home/common/editors/neovim.nix" = {
    line = "Neovim setup";
    facts = [
      (is (hayden "programs.neovim.enable") true)
      (is (hayden "programs.neovim.defaultEditor") true)
    ];
  };
  "home/common/editors/vscode.nix" = {
    line = "VS Code configuration";
    host = "desktop";
    facts = [
      (is (hayden "programs.vscode.enable") true)
      (is (hayden "programs.vscode.profiles.default.userSettings.nix.serverPath") "nil")
    ];
  };
  "home/common/editors/jetbrains.nix" = {
    line = "JetBrains IDEs";
    host = "desktop";
    facts = [
      (homePackage "goland")
      (some (hayden "home.sessionVariables.GOLAND_VM_OPTIONS"))
    ];
  };
  "home/common/git" = {
    line = "Git configuration";
    facts = [ (is (hayden "programs.git.enable") true) ];
  };
  "home/common/ui" = {
    line = "User interface preferences";
    host = "desktop";
    facts = [
      (is (hayden "xdg.mimeApps.enable") true)
      (some (hayden "dconf.settings"))
    ];
  };
  "home/common/automation" = {
    line = "User automation scripts";
    facts = [
      (homePackage "nixos-changes")
      (is (hayden "systemd.user.timers.empty-trash.Timer.OnCalendar") "weekly")
    ];
  };
  "home/hayden" = {
    line = "Main user configuration";
    more = "User-specific configuration";
    facts = [ (is (hayden "xdg.enable") true) ];
  };
}
