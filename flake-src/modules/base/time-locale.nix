# Time zone, clock, language, formats and console keyboard.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.base.time-locale;
  locale = types.strMatching "[a-z]{2,3}_[A-Z]{2}\\.UTF-8(@[a-z]+)?";
in
{
  options.pantherOS.base.time-locale = {
    enable = lib.mkEnableOption "time zone, locale and keyboard settings";

    timeZone = mkOption {
      type = types.strMatching "[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*";
      default = "UTC";
      example = "Europe/Berlin";
      description = "Time zone, as in the tz database.";
    };

    locale = mkOption {
      type = locale;
      default = "en_US.UTF-8";
      example = "de_DE.UTF-8";
      description = "Language of messages and programs.";
    };

    formats = mkOption {
      type = types.nullOr locale;
      default = null;
      example = "en_DK.UTF-8";
      description = "Locale of dates, numbers, money, paper and measures where it differs from the language.";
    };

    keyMap = mkOption {
      type = types.str;
      default = "us";
      example = "de-latin1";
      description = "Keyboard layout of the console.";
    };
  };

  config = lib.mkIf cfg.enable {
    time.timeZone = cfg.timeZone;

    # Certificates, logs and Tailscale all want the right time.
    services.timesyncd.enable = lib.mkDefault true;

    i18n.defaultLocale = cfg.locale;
    i18n.extraLocaleSettings = lib.mkIf (cfg.formats != null) (
      lib.genAttrs [
        "LC_ADDRESS"
        "LC_MEASUREMENT"
        "LC_MONETARY"
        "LC_NUMERIC"
        "LC_PAPER"
        "LC_TELEPHONE"
        "LC_TIME"
      ] (_: cfg.formats)
    );

    console.keyMap = cfg.keyMap;
  };
}
