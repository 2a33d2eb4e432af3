# What everybody who uses zephyrus has in their home there: a 16-inch screen of
# 2560x1600.
{
  home.sessionVariables.XCURSOR_SIZE = 32;
}
