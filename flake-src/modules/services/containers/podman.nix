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

    # The firewall drops what passes through; containers are to reach out.
    networking.firewall.extraForwardRules = ''
      iifname "podman*" accept
    '';

    environment.systemPackages = [ pkgs.podman-compose ];
  };
}
