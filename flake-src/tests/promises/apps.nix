# modules/apps and modules/networking.
{ is, has, ... }:
let
  package = has "environment.systemPackages";
in
{
  "modules/apps/development/ide" = {
    line = "IDE configuration";
    what = "Which IDEs; each person's set-up of them is home/common/editors";
    facts = [
      (has "pantherOS.base.unfree-packages" "vscode")
      (is "boot.kernel.sysctl.fs.inotify.max_user_watches" 1048576)
      (is "services.gnome.gnome-keyring.enable" true)
    ];
    onHosts = [ (is "home-manager.users.hayden.programs.vscode.enable" true) ];
  };
  "modules/apps/development/language-tools" = {
    line = "Language-specific tools";
    facts = [
      (package "gopls")
      (package "rust-analyzer")
      (is "programs.direnv.enable" true)
    ];
  };
  "modules/apps/development/version-control.nix" = {
    line = "Git configuration";
    what = "The programs; each person's settings are home/common/git";
    facts = [
      (is "programs.git.enable" true)
      (is "programs.git.lfs.enable" true)
      (package "gh")
    ];
  };
  "modules/apps/development/container-dev.nix" = {
    line = "Container development";
    also.services.containers.podman.enable = true;
    facts = [
      (package "buildah")
      (has "environment.extraInit" "DOCKER_HOST")
      (has "systemd.user.sockets.podman.wantedBy" "sockets.target")
    ];
  };
  "modules/apps/productivity" = {
    line = "Productivity applications";
    facts = [
      (package "xournalpp")
      (package "zathura")
      (is "services.printing.enable" true)
    ];
  };
  "modules/apps/communication" = {
    line = "Communication tools";
    facts = [
      (is "programs.thunderbird.enable" true)
      (package "signal-desktop")
    ];
  };
  "modules/apps/media" = {
    line = "Media applications";
    facts = [
      (package "mpv")
      (package "imv")
    ];
  };

  "modules/networking/workstation-net.nix" = {
    line = "Workstation network config";
    facts = [
      (is "networking.networkmanager.enable" true)
      (has "pantherOS.base.users-groups.extraGroups" "networkmanager")
    ];
  };
  "modules/networking/server-net.nix" = {
    line = "Server network config";
    facts = [
      (is "networking.useNetworkd" true)
      (is "systemd.network.wait-online.anyInterface" true)
    ];
  };
  "modules/networking/wifi.nix" = {
    line = "WiFi configuration";
    what = "Drivers are hardware/connectivity/wifi.nix";
    also.networking = {
      workstation-net.enable = true;
      wifi.networks.guest.ssid = "Panther's Den";
    };
    facts = [
      (is "networking.networkmanager.wifi.macAddress" "stable")
      (is "networking.networkmanager.ensureProfiles.profiles.guest.wifi.ssid" "Panther's Den")
    ];
  };
  "modules/networking/proxy.nix" = {
    line = "Proxy configuration";
    also.networking.proxy.url = "http://proxy.example.org:3128";
    facts = [
      (is "networking.proxy.default" "http://proxy.example.org:3128")
      (has "networking.proxy.noProxy" ".ts.net")
    ];
  };
}
