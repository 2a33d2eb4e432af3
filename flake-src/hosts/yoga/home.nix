# What everybody who uses yoga has in their home there: a look at what takes
# the battery's power.
{ pkgs, ... }:
{
  home.packages = [ pkgs.powertop ];
}
