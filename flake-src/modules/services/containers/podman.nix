# Podman: containers without a daemon, for everybody without root.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.pantherOS.services.containers.podman;
in
{
  options.pantherOS.services.containers.podman = {
    enable = lib.mkEnableOption "Podman";

    dockerCompat = lib.mkOption {
      type = lib.types.bool;
      default = true;
      description = "Whether `docker` runs podman.";
    };

    autoUpdate = lib.mkOption {
      type = lib.types.bool;
      default = false;
      description = "Whether containers with the label io.containers.autoupdate=registry are brought up to date every night, and taken back if the new one does not start.";
    };
  };

  config = lib.mkIf cfg.enable {
    virtualisation.podman = {
      enable = true;
      inherit (cfg) dockerCompat;
      # Containers of one network find each other by name.
      defaultNetwork.settings.dns_enabled = true;
      autoPrune = {
        enable = true;
        dates = "weekly";
      };
    };

    # Containers in virtualisation.oci-containers are units of systemd: started
    # in order, watched, restarted.
    virtualisation.oci-containers.backend = "podman";

    # The timer is Podman's own; it is only to be started.
    systemd.timers.podman-auto-update.wantedBy = lib.mkIf cfg.autoUpdate [ "timers.target" ];

    # The firewall drops what passes through; containers are to reach out.
    networking.firewall.extraForwardRules = ''
      iifname "podman*" accept
    '';

    environment.systemPackages = [ pkgs.podman-compose ];
  };
}
