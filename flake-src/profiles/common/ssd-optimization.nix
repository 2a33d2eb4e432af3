# Machines whose system is on an SSD: trim, and no writes for reads.
{ lib, ... }:
{
  pantherOS.base.file-systems.ssd = lib.mkDefault true;
}
