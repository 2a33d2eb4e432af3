# A machine that somebody sits at: network, sound, Bluetooth, firmware.
{ lib, ... }:
let
  on = lib.mkDefault true;
in
{
  pantherOS = {
    base.users-groups.shell = lib.mkDefault "fish";
    base.file-systems.encrypt = on;
    hardware = {
      audio.pipewire.enable = on;
      connectivity.bluetooth.enable = on;
    };
    networking.workstation-net.enable = on;
  };

  # Wireless, sound and graphics do without none of it. All of it may be
  # redistributed; `enableAllFirmware` would add unfree blobs that none of
  # these machines has a use for.
  hardware.enableRedistributableFirmware = on;
  services.fwupd.enable = on;
}
