# zsh, for those who prefer it and for machines whose login shell it is.
{ config, lib, ... }:
{
  programs.zsh = {
    enable = true;
    # Its files where other programs have theirs. Home Manager takes the whole
    # path since 25.11, and before that the part below the home folder.
    dotDir =
      if lib.versionAtLeast lib.trivial.release "25.11" then
        "${config.xdg.configHome}/zsh"
      else
        ".config/zsh";
    autosuggestion.enable = true;
    syntaxHighlighting.enable = true;
    history = {
      path = "${config.xdg.dataHome}/zsh/history";
      ignoreSpace = true;
      expireDuplicatesFirst = true;
    };
  };
}
