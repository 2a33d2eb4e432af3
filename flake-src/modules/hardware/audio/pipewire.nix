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

    # WirePlumber's own command: a bar shows what it did.
    pantherOS.desktop.compositor.niri.binds =
      lib.mapAttrs'
        (
          key: arguments:
          lib.nameValuePair "${key} allow-when-locked=true" "spawn \"wpctl\" ${
            lib.concatMapStringsSep " " builtins.toJSON arguments
          }"
        )
        {
          XF86AudioRaiseVolume = [
            "set-volume"
            "--limit=1.0"
            "@DEFAULT_AUDIO_SINK@"
            "5%+"
          ];
          XF86AudioLowerVolume = [
            "set-volume"
            "@DEFAULT_AUDIO_SINK@"
            "5%-"
          ];
          XF86AudioMute = [
            "set-mute"
            "@DEFAULT_AUDIO_SINK@"
            "toggle"
          ];
          XF86AudioMicMute = [
            "set-mute"
            "@DEFAULT_AUDIO_SOURCE@"
            "toggle"
          ];
        };
  };
}
