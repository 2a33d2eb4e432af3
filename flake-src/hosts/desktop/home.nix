# What everybody who uses desktop has in their home there: films on the large
# disk.
{ config, ... }:
{
  home.sessionVariables.XDG_VIDEOS_DIR = "/data/${config.home.username}/Videos";
}
