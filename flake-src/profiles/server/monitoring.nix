# Figures of the machine, kept on it.
{ lib, ... }:
{
  pantherOS.services.monitoring.metrics.enable = lib.mkDefault true;
}
