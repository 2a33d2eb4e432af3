# Headphones and headsets on Bluetooth.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.hardware.audio.bluetooth-audio;
in
{
  options.pantherOS.hardware.audio.bluetooth-audio = {
    enable = lib.mkEnableOption "good sound over Bluetooth";

    codecs = mkOption {
      type = types.listOf (
        types.enum [
          "aac"
          "aptx"
          "aptx_hd"
          "ldac"
          "lc3"
          "sbc"
          "sbc_xq"
        ]
      );
      default = [
        "ldac"
        "aptx_hd"
        "aptx"
        "aac"
        "sbc_xq"
        "sbc"
        "lc3"
      ];
      example = [
        "aac"
        "sbc"
      ];
      description = "Codecs that may be used; the best that the headphones have too is taken.";
    };

    switchToHeadset = mkOption {
      type = types.bool;
      default = true;
      description = "Whether a program that records switches headphones to their headset mode, which has a microphone and poorer sound.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion =
          config.pantherOS.hardware.audio.pipewire.enable
          && config.pantherOS.hardware.connectivity.bluetooth.enable;
        message = "pantherOS.hardware.audio.bluetooth-audio needs both pantherOS.hardware.audio.pipewire.enable and pantherOS.hardware.connectivity.bluetooth.enable.";
      }
    ];

    services.pipewire.wireplumber.extraConfig."50-bluetooth" = {
      "monitor.bluez.properties" = {
        "bluez5.codecs" = cfg.codecs;
        # SBC at a higher rate, for headphones that have nothing better, and
        # speech at 16 kHz.
        "bluez5.enable-sbc-xq" = lib.elem "sbc_xq" cfg.codecs;
        "bluez5.enable-msbc" = true;
        # The volume keys of the headphones set their own volume.
        "bluez5.enable-hw-volume" = true;
      };
      "wireplumber.settings"."bluetooth.autoswitch-to-headset-profile" = cfg.switchToHeadset;
    };

    # Reports the headphones' battery.
    hardware.bluetooth.settings.General.Experimental = true;
  };
}
