# JetBrains' IDEs, those that pantherOS.apps.development.ide names.
{
  lib,
  osConfig,
  pkgs,
  ...
}:
let
  inherit (osConfig.pantherOS.apps.development) ide;
  # By default they draw by X11 under Xwayland, blurred on a scaled screen. Each
  # reads a file of options for the Java machine that a variable of its own names.
  options = pkgs.writeText "jetbrains.vmoptions" ''
    -Dawt.toolkit.name=WLToolkit
    -Xmx4g
  '';
in
{
  config = lib.mkIf (ide.enable && ide.jetbrains != [ ]) {
    home.packages = map (name: pkgs.jetbrains.${name}) ide.jetbrains;

    # Their Vim keys, as in Neovim.
    xdg.configFile."ideavim/ideavimrc".text = ''
      set clipboard+=unnamedplus
      set hlsearch
      set ignorecase
      set incsearch
      set smartcase
      set surround
    '';

    home.sessionVariables = lib.listToAttrs (
      map (name: lib.nameValuePair "${lib.toUpper name}_VM_OPTIONS" "${options}") ide.jetbrains
    );
  };
}
