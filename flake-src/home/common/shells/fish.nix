# fish, the everyday shell.
{
  programs.fish = {
    enable = true;
    interactiveShellInit = ''
      set -g fish_greeting
    '';
    shellAbbrs = {
      nrb = "nixos-rebuild build --flake .";
      nrs = "sudo nixos-rebuild switch --flake .";
    };
  };

  # Jump to folders, find files, and know in which Git state one is.
  programs.zoxide.enable = true;
  programs.fzf.enable = true;
  programs.starship.enable = true;
}
