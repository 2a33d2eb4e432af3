# Heat: sustained speed without the firmware's emergency brake.
{ config, lib, ... }:
let
  cfg = config.pantherOS.hardware.laptop.thermal;
in
{
  options.pantherOS.hardware.laptop.thermal = {
    enable = lib.mkEnableOption "thermal management by thermald, for Intel processors";
  };

  config = lib.mkIf cfg.enable {
    services.thermald.enable = true;
  };
}
