# What everybody who logs in to the server has in their home there.
{
  # Work survives a broken connection.
  programs.tmux.enable = true;
}
