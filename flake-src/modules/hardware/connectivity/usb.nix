# USB: sticks are mounted on request, and devices that nobody knows are kept
# out where that is asked for.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.hardware.connectivity.usb;
in
{
  options.pantherOS.hardware.connectivity.usb = {
    enable = lib.mkEnableOption "mounting of USB disks by users, and tools";

    guard = {
      enable = lib.mkEnableOption "USBGuard, which refuses devices that are plugged in later and that no rule allows";

      rules = mkOption {
        type = types.nullOr types.lines;
        default = null;
        example = ''
          allow with-interface equals { 03:*:* }
        '';
        description = "What is allowed, as `usbguard generate-policy` prints it; null for the rules in /var/lib/usbguard/rules.conf, to which `usbguard allow-device -p` adds.";
      };
    };
  };

  config = lib.mkIf cfg.enable {
    services.udisks2.enable = true;
    environment.systemPackages = [ pkgs.usbutils ];

    services.usbguard = lib.mkIf cfg.guard.enable {
      enable = true;
      inherit (cfg.guard) rules;
      # What was there at boot stays: one could not type otherwise.
      presentDevicePolicy = "allow";
      implicitPolicyTarget = "block";
      IPCAllowedGroups = [ "wheel" ];
    };
  };
}
