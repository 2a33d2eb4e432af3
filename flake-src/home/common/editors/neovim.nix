# Neovim, for everything that opens an editor.
{
  programs.neovim = {
    enable = true;
    defaultEditor = true;
    viAlias = true;
    vimAlias = true;
    # Providers of plugins that are not used here.
    withPython3 = false;
    withRuby = false;
  };
}
