# Heat: sustained speed without the firmware's emergency brake; fans, and the
# lights that come with them, of ASUS machines.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.pantherOS.hardware.laptop.thermal;
  asus = cfg.fanControl == "asus";

  point = lib.types.submodule {
    options = {
      at = lib.mkOption {
        type = lib.types.ints.between 20 110;
        description = "Degrees Celsius.";
      };
      speed = lib.mkOption {
        type = lib.types.ints.between 0 100;
        description = "Percent of the fan's full speed from there on.";
      };
    };
  };
  # The firmware takes eight points.
  points = curve: lib.concatMapStringsSep "," (p: "${toString p.at}c:${toString p.speed}%") curve;
  # asusctl 6.3 has the light's effects below a word of their own.
  effect =
    if lib.versionAtLeast (lib.getVersion config.services.asusd.package) "6.3" then
      "aura effect static"
    else
      "aura static";
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

    fanCurves = lib.mkOption {
      type = lib.types.attrsOf (lib.types.attrsOf (lib.types.listOf point));
      default = { };
      example = lib.literalExpression ''
        { performance.cpu = [ { at = 40; speed = 20; } … ]; }
      '';
      description = "For a profile of asusd (quiet, balanced, performance) and a fan (cpu, gpu, mid) the eight points of its curve; the firmware's own for what is not named.";
    };

    keyboardColor = lib.mkOption {
      type = lib.types.nullOr (lib.types.strMatching "[0-9a-f]{6}");
      default = null;
      example = "ff6600";
      description = "Colour of the light under an ASUS machine's keys, red, green and blue in hexadecimal; null to leave it as it is.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = asus || (cfg.fanCurves == { } && cfg.keyboardColor == null);
        message = "pantherOS.hardware.laptop.thermal.{fanCurves,keyboardColor} are asusd's: set pantherOS.hardware.laptop.thermal.fanControl = \"asus\".";
      }
      {
        assertion = lib.all (fans: lib.all (curve: lib.length curve == 8) (lib.attrValues fans)) (
          lib.attrValues cfg.fanCurves
        );
        message = "pantherOS.hardware.laptop.thermal.fanCurves: a curve has eight points.";
      }
    ];

    services.thermald.enable = true;

    # `sensors`, and what it reads.
    environment.systemPackages = [ pkgs.lm_sensors ];
    boot.kernelModules = [ "coretemp" ];

    services.asusd.enable = lib.mkIf asus true;

    # asusd rewrites its own files, so it is told rather than given them.
    systemd.services.asus-settings = lib.mkIf (cfg.fanCurves != { } || cfg.keyboardColor != null) {
      description = "Fan curves and keyboard light";
      wantedBy = [ "multi-user.target" ];
      requires = [ "asusd.service" ];
      after = [ "asusd.service" ];
      path = [ config.services.asusd.package ];
      script = ''
        ${lib.concatStrings (
          lib.mapAttrsToList (
            profile: fans:
            lib.concatStrings (
              lib.mapAttrsToList (fan: curve: ''
                asusctl fan-curve --mod-profile ${profile} --fan ${fan} --data ${points curve}
              '') fans
            )
            + ''
              asusctl fan-curve --mod-profile ${profile} --enable-fan-curves true
            ''
          ) cfg.fanCurves
        )}
        ${lib.optionalString (cfg.keyboardColor != null) "asusctl ${effect} -c ${cfg.keyboardColor}"}
      '';
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        # asusd answers on the bus a moment after it has started.
        Restart = "on-failure";
        RestartSec = 5;
      };
    };
  };
}
