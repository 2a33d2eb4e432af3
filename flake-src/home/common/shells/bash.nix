# bash, for scripts and for when everything else is broken.
{
  programs.bash = {
    enable = true;
    historyControl = [
      "erasedups"
      "ignorespace"
    ];
  };
}
