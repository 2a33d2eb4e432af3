# Hayden's home, on every machine. What a machine adds is in its own home.nix.
{
  imports = [
    ../common/editors/neovim.nix
    ../common/git
    ../common/shells/bash.nix
    ../common/shells/fish.nix
  ];

  xdg.enable = true;
}
