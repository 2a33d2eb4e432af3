# Heat: sustained speed without the firmware's emergency brake.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.pantherOS.hardware.laptop.thermal;
in
{
  options.pantherOS.hardware.laptop.thermal = {
    enable = lib.mkEnableOption "thermal management by thermald, for Intel processors";

    fanControl = lib.mkOption {
      type = lib.types.enum [
        "firmware"
        "asus"
      ];
      default = "firmware";
      description = "Who drives the fans: the firmware alone, or asusd by the curves of an ASUS machine, which also has its keyboard lights and charge limit.";
    };
  };

  config = lib.mkIf cfg.enable {
    services.thermald.enable = true;

    # `sensors`, and what it reads.
    environment.systemPackages = [ pkgs.lm_sensors ];
    boot.kernelModules = [ "coretemp" ];

    services.asusd.enable = lib.mkIf (cfg.fanControl == "asus") true;
  };
}
