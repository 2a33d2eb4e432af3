# Sound by PipeWire, also for programs that speak PulseAudio, ALSA or JACK.
{ config, lib, ... }:
let
  cfg = config.pantherOS.hardware.audio.pipewire;
in
{
  options.pantherOS.hardware.audio.pipewire = {
    enable = lib.mkEnableOption "PipeWire";

    jack = lib.mkEnableOption "JACK programs on PipeWire";
  };

  config = lib.mkIf cfg.enable {
    services.pipewire = {
      enable = true;
      alsa.enable = true;
      pulse.enable = true;
      jack.enable = cfg.jack;
    };
    services.pulseaudio.enable = false;

    # Lets PipeWire have real-time priority.
    security.rtkit.enable = true;
  };
}
