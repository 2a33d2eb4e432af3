# A machine with a battery and little room for heat.
{ lib, ... }:
let
  on = lib.mkDefault true;
in
{
  pantherOS.hardware = {
    connectivity = {
      thunderbolt.enable = on;
      wifi.enable = on;
    };
    laptop = {
      battery.enable = on;
      display.enable = on;
      keyboard.enable = on;
      thermal.enable = on;
      touchpad.enable = on;
    };
  };
}
