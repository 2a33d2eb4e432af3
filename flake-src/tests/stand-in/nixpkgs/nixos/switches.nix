# Options of NixOS that come down to "install this and run that": what
# `<option>.enable` puts into the system, by name of the stand-in packages.
#
#   packages  in the system's path; `<option>.package` replaces the first
#   units     unit name -> program of the first package
#   port      the default of `<option>.port`
#   opened    the default of `<option>.openFirewall`, where it has one
#   protocol  that of the port, if it is not tcp
#   default   whether it is on when nobody says anything
{
  "hardware.bluetooth" = {
    packages = [ "bluez" ];
    units.bluetooth = "bluetoothctl";
  };
  "hardware.nvidia-container-toolkit".packages = [ "nvidia-container-toolkit" ];
  "hardware.rasdaemon" = {
    packages = [ "rasdaemon" ];
    units.rasdaemon = "rasdaemon";
  };
  "hardware.sensor.iio" = {
    packages = [ "iio-sensor-proxy" ];
    units.iio-sensor-proxy = "monitor-sensor";
  };
  "networking.networkmanager" = {
    packages = [
      "networkmanager"
      "modemmanager"
      "wpa_supplicant"
    ];
    units.NetworkManager = "NetworkManager";
    units.NetworkManager-wait-online = "nmcli";
    units.ModemManager = "nmcli";
  };
  "programs.dconf".packages = [ "dconf" ];
  "programs.direnv".packages = [
    "direnv"
    "nix-direnv"
  ];
  "programs.firefox".packages = [ "firefox" ];
  "programs.fish".packages = [ "fish" ];
  "programs.foot".packages = [ "foot" ];
  "programs.git".packages = [ "git" ];
  "programs.git.lfs".packages = [ "git-lfs" ];
  "programs.nano" = {
    packages = [ "nano" ];
    default = true;
  };
  "programs.thunderbird".packages = [ "thunderbird" ];
  "programs.zsh".packages = [ "zsh" ];
  "programs.nautilus-open-any-terminal".packages = [ "nautilus-open-any-terminal" ];
  "programs.waybar".packages = [ "waybar" ];
  "security.polkit" = {
    packages = [ "polkit" ];
    units.polkit = "pkcheck";
  };
  "security.rtkit" = {
    packages = [ "rtkit" ];
    units.rtkit-daemon = "rtkitctl";
  };
  "services.asusd" = {
    packages = [ "asusctl" ];
    units.asusd = "asusd";
  };
  "services.atticd" = {
    packages = [ "attic-server" ];
    units.atticd = "atticd";
  };
  "services.avahi" = {
    packages = [ "avahi" ];
    units.avahi-daemon = "avahi-daemon";
    port = 5353;
    protocol = "UDP";
    opened = true;
  };
  "services.btrfs.autoScrub" = {
    packages = [ "btrfs-progs" ];
    units.btrfs-scrub = "btrfs";
  };
  "services.colord" = {
    packages = [ "colord" ];
    units.colord = "colormgr";
  };
  "services.datadog-agent" = {
    packages = [ "datadog-agent" ];
    units.datadog-agent = "agent";
  };
  "services.dockerRegistry" = {
    packages = [ "distribution" ];
    units.docker-registry = "registry";
    port = 5000;
    opened = false;
  };
  "services.fail2ban" = {
    packages = [ "fail2ban" ];
    units.fail2ban = "fail2ban-server";
  };
  "services.fprintd" = {
    packages = [ "fprintd" ];
    units.fprintd = "fprintd-enroll";
  };
  "services.fstrim" = {
    packages = [ "util-linux" ];
    units.fstrim = "lsblk";
  };
  "services.fwupd" = {
    packages = [ "fwupd" ];
    units.fwupd = "fwupdmgr";
    units.fwupd-refresh = "fwupdmgr";
  };
  "services.gnome.gnome-keyring".packages = [ "gnome-keyring" ];
  "services.gnome.sushi".packages = [ "sushi" ];
  "services.greetd" = {
    packages = [ "greetd" ];
    units.greetd = "greetd";
  };
  "services.gvfs".packages = [ "gvfs" ];
  "services.hardware.bolt" = {
    packages = [ "bolt" ];
    units.bolt = "boltctl";
  };
  "services.pipewire" = {
    packages = [
      "pipewire"
      "wireplumber"
    ];
    units.pipewire = "pipewire";
  };
  "services.pipewire.alsa".packages = [ "alsa-lib" ];
  "services.pipewire.jack".packages = [ "pipewire" ];
  "services.pipewire.pulse".packages = [ "pulseaudio" ];
  "services.postgresql" = {
    packages = [ "postgresql" ];
    units.postgresql = "postgres";
  };
  "services.power-profiles-daemon" = {
    packages = [ "power-profiles-daemon" ];
    units.power-profiles-daemon = "powerprofilesctl";
  };
  "services.prometheus" = {
    packages = [ "prometheus" ];
    units.prometheus = "prometheus";
    port = 9090;
  };
  "services.printing" = {
    packages = [ "cups" ];
    units.cups = "cupsd";
  };
  "services.prometheus.alertmanager" = {
    packages = [ "prometheus-alertmanager" ];
    units.alertmanager = "alertmanager";
    port = 9093;
    opened = false;
  };
  "services.prometheus.exporters.node" = {
    packages = [ "prometheus-node-exporter" ];
    units.prometheus-node-exporter = "node_exporter";
    port = 9100;
    opened = false;
  };
  "services.pulseaudio".packages = [ "pulseaudio" ];
  "services.qemuGuest" = {
    packages = [ "qemu-guest-agent" ];
    units.qemu-guest-agent = "qemu-ga";
  };
  "services.resolved" = {
    packages = [ "systemd" ];
    units.systemd-resolved = "systemctl";
  };
  "services.supergfxd" = {
    packages = [ "supergfxctl" ];
    units.supergfxd = "supergfxd";
  };
  "services.tailscale" = {
    packages = [ "tailscale" ];
    units.tailscaled = "tailscaled";
    port = 41641;
    protocol = "UDP";
    opened = false;
  };
  "services.thermald" = {
    packages = [ "thermald" ];
    units.thermald = "thermald";
  };
  "services.timesyncd" = {
    packages = [ "systemd" ];
    default = true;
  };
  "services.tlp" = {
    packages = [ "tlp" ];
    units.tlp = "tlp";
  };
  "services.udisks2" = {
    packages = [ "udisks2" ];
    units.udisks2 = "udisksctl";
  };
  "services.upower" = {
    packages = [ "upower" ];
    units.upower = "upower";
  };
  "services.usbguard" = {
    packages = [ "usbguard" ];
    units.usbguard = "usbguard";
  };
  "services.xserver".packages = [
    "xwayland"
    "xkeyboard-config"
  ];
  "virtualisation.podman" = {
    packages = [
      "podman"
      "skopeo"
    ];
    units.podman = "podman";
    units.podman-prune = "podman";
  };
  "xdg.portal".packages = [
    "xdg-desktop-portal"
    "xdg-desktop-portal-gtk"
  ];
}
