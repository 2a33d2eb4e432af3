# What everybody who uses zephyrus has in their home there: frame rate, clocks
# and temperatures over a game, with `mangohud <program>`.
{
  programs.mangohud.enable = true;
}
