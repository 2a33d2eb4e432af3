# Sound as it was recorded: the device takes the rate of the music instead of
# all being converted to one, and what must be converted is converted well.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.hardware.audio.audio-quality;
in
{
  options.pantherOS.hardware.audio.audio-quality = {
    enable = lib.mkEnableOption "PipeWire's settings for sound quality";

    rates = mkOption {
      type = types.nonEmptyListOf types.ints.positive;
      default = [
        44100
        48000
        88200
        96000
      ];
      example = [ 48000 ];
      description = "Sample rates in Hz that a device may be switched to.";
    };

    quantum = mkOption {
      type = types.ints.between 32 8192;
      default = 1024;
      example = 128;
      description = "Samples that are worked on at a time: fewer for less delay, more for fewer gaps under load.";
    };

    resampleQuality = mkOption {
      type = types.ints.between 0 14;
      default = 10;
      example = 4;
      description = "Quality of conversion between rates. Above 10 the difference is in the processor's load alone.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = config.pantherOS.hardware.audio.pipewire.enable;
        message = "pantherOS.hardware.audio.audio-quality tunes PipeWire: set pantherOS.hardware.audio.pipewire.enable too.";
      }
    ];

    services.pipewire.extraConfig =
      let
        stream."stream.properties"."resample.quality" = cfg.resampleQuality;
      in
      {
        pipewire."50-quality"."context.properties" = {
          "default.clock.rate" = 48000;
          "default.clock.allowed-rates" = cfg.rates;
          "default.clock.quantum" = cfg.quantum;
        };
        client."50-quality" = stream;
        pipewire-pulse."50-quality" = stream;
      };
  };
}
