# modules/services.
{ is, has, some, ... }:
let
  vault.security.secrets.opnix.enable = true;
in
{
  "modules/services/networking/tailscale.nix" = {
    line = "Tailscale VPN";
    more = "Tailscale VPN configuration";
    facts = [
      (is "services.tailscale.enable" true)
      (is "services.tailscale.useRoutingFeatures" "client")
      (has "networking.firewall.trustedInterfaces" "tailscale0")
      (has "networking.firewall.extraForwardRules" "tailscale0")
    ];
  };
  "modules/services/networking/vpn.nix" = {
    line = "General VPN configuration";
    more = "General VPN client configuration";
    also = vault // {
      networking.workstation-net.enable = true;
      services.networking.vpn.tunnels.work = {
        addresses = [ "10.8.0.2/32" ];
        keyItem = "authentication/tailscale/nodeKey";
        server = "vpn.example.org:51820";
        serverKey = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
        networks = [ "10.8.0.0/16" ];
      };
    };
    facts = [
      (has "networking.wg-quick.interfaces.work.address" "10.8.0.2/32")
      (has "networking.networkmanager.plugins" "networkmanager-openvpn")
      (has "environment.systemPackages" "wireguard-tools")
    ];
  };
  "modules/services/networking/dns.nix" = {
    line = "DNS configuration";
    more = "DNS configuration and filtering";
    also.services.networking.dns.blockAdvertising = true;
    facts = [
      (is "services.resolved.enable" true)
      (has "networking.nameservers" "9.9.9.9#dns.quad9.net")
      (is "networking.stevenblack.enable" true)
    ];
  };
  "modules/services/networking/network-filter.nix" = {
    line = "Network filtering";
    more = "Network filtering and QoS";
    facts = [
      (has "networking.nftables.tables.panther-egress.content" "hook output")
      (is "boot.kernel.sysctl.net.core.default_qdisc" "cake")
      (is "boot.kernel.sysctl.net.ipv4.tcp_congestion_control" "bbr")
    ];
  };
  "modules/services/monitoring/datadog.nix" = {
    line = "Datadog agent";
    more = "Datadog agent configuration";
    also = vault;
    facts = [
      (is "services.datadog-agent.enable" true)
      (has "services.datadog-agent.tags" "role:workstation")
      (some "services.datadog-agent.apiKeyFile")
    ];
  };
  "modules/services/monitoring/metrics.nix" = {
    line = "Custom metrics";
    more = "Custom metrics collection";
    facts = [
      (is "services.prometheus.enable" true)
      (is "services.prometheus.exporters.node.enable" true)
      (some "systemd.services.metric-generation.script")
      (some "systemd.timers.metric-generation.timerConfig")
    ];
  };
  "modules/services/monitoring/logging.nix" = {
    line = "Log aggregation";
    more = "Centralized logging configuration";
    also.services = {
      monitoring.logging = {
        receive = true;
        collector = "ovh-cloud-vps";
      };
      networking.tailscale.enable = true;
    };
    facts = [
      (is "services.journald.remote.enable" true)
      (is "services.journald.upload.enable" true)
      (is "services.journald.upload.settings.Upload.URL" "http://ovh-cloud-vps:19532")
    ];
  };
  "modules/services/monitoring/alerting.nix" = {
    line = "Alert configuration";
    more = "Alert rules and escalation";
    also.services.monitoring.metrics.enable = true;
    facts = [
      (is "services.prometheus.alertmanager.enable" true)
      (some "services.prometheus.rules")
      (some "services.prometheus.alertmanagers")
      (is "services.prometheus.alertmanager.configuration.route.receiver" "warning")
    ];
  };
  "modules/services/containers/podman.nix" = {
    line = "Podman rootless containers";
    more = "Podman rootless container runtime";
    also.services.containers.podman.autoUpdate = true;
    facts = [
      (is "virtualisation.podman.enable" true)
      (is "virtualisation.podman.autoPrune.enable" true)
      (has "systemd.timers.podman-auto-update.wantedBy" "timers.target")
      (has "environment.systemPackages" "podman-compose")
    ];
  };
  "modules/services/containers/registry.nix" = {
    line = "Container registry";
    more = "Container registry configuration";
    facts = [
      (is "services.dockerRegistry.enable" true)
      (is "services.dockerRegistry.enableGarbageCollect" true)
    ];
  };
  "modules/services/containers/container-security.nix" = {
    line = "Container security";
    more = "Container security hardening";
    facts = [
      (is "virtualisation.containers.policy.default" [ { type = "reject"; } ])
      (is "virtualisation.containers.containersConf.settings.containers.pids_limit" 1024)
      (has "virtualisation.containers.containersConf.settings.containers.default_capabilities" "CHOWN")
    ];
  };
  "modules/services/cache/attic.nix" = {
    line = "Attic binary cache";
    more = "Attic binary cache setup";
    facts = [
      (is "services.atticd.enable" true)
      (is "services.atticd.settings.listen" "[::]:8080")
      (some "systemd.services.attic-token.script")
    ];
  };
  "modules/services/cache/local-cache.nix" = {
    line = "Local build cache";
    more = "Local build caching";
    what = "This project's pcache: `serve`, `warm`, substituters and keys";
    also.services.cache.local-cache = {
      package = derivation {
        name = "pcache";
        system = "x86_64-linux";
        builder = "/bin/sh";
      };
      caches.fleet = {
        url = "https://cache.example.org";
        publicKey = "cache.example.org-1:kd0mYLxYvCGpHoFu3E/X5zHYyHBDsGl9CHjz+i4Jh4c=";
      };
      serve.enable = true;
      warm.enable = true;
      keepBuildInputs = true;
    };
    facts = [
      (has "nix.settings.extra-substituters" "https://cache.example.org")
      (some "nix.settings.extra-trusted-public-keys")
      (is "nix.settings.keep-outputs" true)
      (is "systemd.sockets.pcache-serve.socketConfig.ListenStream" "127.0.0.1:8501")
      (some "systemd.services.pcache-serve.serviceConfig.ExecStart")
      (some "systemd.services.pcache-warm.startAt")
    ];
    onHosts = [ (is "nix.settings.fallback" true) ];
  };
  "modules/services/databases/postgresql.nix" = {
    line = "PostgreSQL";
    also.services.databases.postgresql.databases = [ "atticd" ];
    facts = [
      (is "services.postgresql.enable" true)
      (has "services.postgresql.ensureDatabases" "atticd")
    ];
  };
  "modules/services/databases/redis.nix" = {
    line = "Redis";
    facts = [
      (is "services.redis.servers.main.enable" true)
      (is "services.redis.servers.main.settings.maxmemory" "256mb")
    ];
  };
  "modules/services/backup.nix" = {
    line = null;
    what = "ovh-cloud-vps's \"Automated backups\": restic to Backblaze B2, every night";
    also = vault // {
      services = {
        backup.bucket = "somewhere";
        databases.postgresql.enable = true;
      };
    };
    facts = [
      (is "services.restic.backups.system.repository" "b2:somewhere:test")
      (is "services.restic.backups.system.timerConfig.OnCalendar" "02:30")
      (is "services.postgresqlBackup.enable" true)
      (has "systemd.services.restic-backups-system.after" "postgresqlBackup.service")
    ];
  };
  "modules/services/maintenance.nix" = {
    line = null;
    what = "The brief's \"Maintenance Schedule\": panther-maintenance daily, weekly, monthly, and timers";
    facts = [
      (has "environment.systemPackages" "panther-maintenance")
      (has "systemd.services.panther-maintenance-daily.startAt" "daily")
      (has "systemd.services.panther-maintenance-weekly.startAt" "weekly")
      (has "systemd.services.panther-maintenance-monthly.startAt" "monthly")
    ];
  };
}
