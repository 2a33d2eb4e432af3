# Wireless hardware: firmware and the rules of the country. Networks, and power
# saving by NetworkManager, are in pantherOS.networking.wifi.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.hardware.connectivity.wifi;
in
{
  options.pantherOS.hardware.connectivity.wifi = {
    enable = lib.mkEnableOption "wireless hardware";

    country = mkOption {
      type = types.nullOr (types.strMatching "[A-Z]{2}");
      default = null;
      example = "DE";
      description = "Country whose rules for channels and power hold until an access point says where one is; null for those that hold everywhere.";
    };
  };

  config = lib.mkIf cfg.enable {
    hardware.enableRedistributableFirmware = lib.mkDefault true;
    hardware.wirelessRegulatoryDatabase = true;

    boot.extraModprobeConfig = lib.mkIf (cfg.country != null) ''
      options cfg80211 ieee80211_regdom=${cfg.country}
    '';

    # Says what the hardware sees and is allowed.
    environment.systemPackages = [ pkgs.iw ];
  };
}
