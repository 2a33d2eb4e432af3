# What everybody who uses sofa has in their home there, besides their own
# home/<user>: for Home Manager, while the host has the feature home-manager.
{
  # home.sessionVariables.XCURSOR_SIZE = 24;
}
