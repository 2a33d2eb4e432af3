# Every machine looks after itself: daily, weekly and monthly checks; old
# generations go, equal files of the store are linked.
{ lib, ... }:
{
  pantherOS.services.maintenance.enable = lib.mkDefault true;

  nix.gc = {
    automatic = lib.mkDefault true;
    dates = lib.mkDefault "weekly";
    options = lib.mkDefault "--delete-older-than 30d";
  };
  nix.optimise = {
    automatic = lib.mkDefault true;
    dates = lib.mkDefault [ "weekly" ];
  };
}
