# A machine with a battery and little room for heat.
{ lib, ... }:
{
  pantherOS.hardware.laptop = {
    battery.enable = lib.mkDefault true;
    thermal.enable = lib.mkDefault true;
  };
}
