# Films, music, pictures.
{ lib, ... }:
{
  pantherOS.apps.media.enable = lib.mkDefault true;
}
