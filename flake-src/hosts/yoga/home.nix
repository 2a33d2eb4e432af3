# What everybody who uses yoga has in their home there: a 14-inch screen of
# 1920x1080.
{
  home.sessionVariables.XCURSOR_SIZE = 24;
}
