# The shell scripts of modules/ and home/ as hosts have them, by name, and command
# lines of this project's own programs: TestFlakeScripts runs each.
{ lib, hosts }:
let
  unit = host: name: host.config.systemd.services.${name}.script;
  # A command among packages, by its derivation's name.
  command = packages: name: (lib.findFirst (p: lib.getName p == name) null packages).text;

  inherit (hosts) zephyrus yoga;
  server = hosts.ovh-cloud-vps;
  # What no host has set.
  guest = yoga.extendModules {
    modules = [
      (
        { pkgs, ... }:
        {
          pantherOS = {
            networking.wifi.networks.home = {
              ssid = "Panther's Den";
              passwordItem = "authentication/tailscale/nodeKey";
            };
            services.cache.local-cache = {
              package = pkgs.writeShellScriptBin "pcache" "";
              caches.fleet = {
                url = "https://cache.example.org";
                publicKey = "cache.example.org-1:kd0mYLxYvCGpHoFu3E/X5zHYyHBDsGl9CHjz+i4Jh4c=";
              };
              serve.enable = true;
              warm.enable = true;
              push = {
                cache = "file:///srv/cache";
                secretKeyFile = "/var/lib/pcache/secret-key";
              };
            };
          };
        }
      )
    ];
  };
in
{
  asus-settings = unit zephyrus "asus-settings";
  attic-token = unit server "attic-token";
  backup-metric = (lib.head server.config.systemd.services.restic-backups-system.serviceConfig.ExecStartPost).text;
  certificate-check = unit server "certificate-check";
  file-integrity = unit server "file-integrity";
  memory-channels = unit zephyrus "memory-channels";
  metric-generation = unit server "metric-generation";
  nixos-changes = command server.config.home-manager.users.hayden.home.packages "nixos-changes";
  panther-maintenance = command server.config.environment.systemPackages "panther-maintenance";
  pcache-serve = guest.config.systemd.services.pcache-serve.serviceConfig.ExecStart;
  pcache-warm = guest.config.systemd.services.pcache-warm.serviceConfig.ExecStart;
  pcache-push = guest.config.nix.settings.post-build-hook.text;
  rotate-panel = yoga.config.systemd.user.services.rotate-panel.script;
  secrets-ready = unit server "secrets-ready";
  wifi-passwords = unit guest "wifi-passwords";
}
