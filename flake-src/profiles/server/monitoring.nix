# Figures of the machine, kept on it and sent to Datadog; alerts; the logs of
# the other machines.
{ lib, ... }:
let
  on = lib.mkDefault true;
in
{
  pantherOS.services.monitoring = {
    alerting.enable = on;
    datadog = {
      enable = on;
      role = lib.mkDefault "server";
    };
    logging = {
      enable = on;
      receive = on;
    };
    metrics.enable = on;
  };
}
