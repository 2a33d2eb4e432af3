# A machine that somebody sits at: network, sound, Bluetooth, USB, firmware.
{ lib, ... }:
let
  on = lib.mkDefault true;

  # Logs go to the machine that watches the others, if the fleet has one.
  collectors = lib.filter (host: lib.elem "server/monitoring" host.profiles) (
    lib.attrValues (import ../../lib/inventory.nix).hosts
  );
in
{
  pantherOS = {
    apps = {
      communication.enable = on;
      productivity.enable = on;
    };
    base.users-groups.shell = lib.mkDefault "fish";
    base.file-systems.encrypt = on;
    hardware = {
      audio = {
        audio-quality.enable = on;
        bluetooth-audio.enable = on;
        pipewire.enable = on;
      };
      connectivity = {
        bluetooth.enable = on;
        usb.enable = on;
      };
    };
    networking = {
      wifi.enable = on;
      workstation-net.enable = on;
    };
    services = {
      monitoring.logging = lib.mkIf (collectors != [ ]) {
        enable = on;
        collector = lib.mkDefault (lib.head collectors).name;
      };
      networking = {
        dns.blockAdvertising = on;
        vpn.enable = on;
      };
    };
  };

  # Wireless, sound and graphics do without none of it. All of it may be
  # redistributed; `enableAllFirmware` would add unfree blobs that none of
  # these machines has a use for.
  hardware.enableRedistributableFirmware = on;
  services.fwupd.enable = on;
}
