# Git. Name and address are the person's own, in ~/.config/git/identity: they
# differ between work and home, and are nobody else's business.
{ config, ... }:
{
  programs.git = {
    enable = true;
    includes = [
      {
        contents = {
          init.defaultBranch = "main";
          merge.conflictStyle = "zdiff3";
          pull.rebase = true;
          push.autoSetupRemote = true;
          rebase.autoStash = true;
        };
      }
      { path = "${config.xdg.configHome}/git/identity"; }
    ];
  };
}
