# Hayden's home, on every machine. What a machine adds is in its own home.nix.
{
  imports = [
    ../common/automation
    ../common/editors/jetbrains.nix
    ../common/editors/neovim.nix
    ../common/editors/vscode.nix
    ../common/git
    ../common/shells/bash.nix
    ../common/shells/fish.nix
    ../common/shells/zsh.nix
    ../common/ui
  ];

  xdg.enable = true;
}
