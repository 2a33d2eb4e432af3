# A workstation's network: NetworkManager, names by systemd-resolved.
{ config, lib, ... }:
let
  cfg = config.pantherOS.networking.workstation-net;
in
{
  options.pantherOS.networking.workstation-net = {
    enable = lib.mkEnableOption "NetworkManager";
  };

  config = lib.mkIf cfg.enable {
    networking.networkmanager.enable = true;
    services.resolved.enable = true;

    pantherOS.base.users-groups.extraGroups = [ "networkmanager" ];
  };
}
