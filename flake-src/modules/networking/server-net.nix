# A server's network: systemd-networkd, addresses by DHCP unless the host says
# otherwise, names by systemd-resolved.
{ config, lib, ... }:
let
  cfg = config.pantherOS.networking.server-net;
in
{
  options.pantherOS.networking.server-net = {
    enable = lib.mkEnableOption "systemd-networkd";
  };

  config = lib.mkIf cfg.enable {
    networking.useNetworkd = true;
    networking.useDHCP = lib.mkDefault true;
    services.resolved.enable = true;

    # One address is enough to boot: a server has several interfaces at times.
    systemd.network.wait-online.anyInterface = true;
  };
}
