# GNOME Text Editor, for a file opened from a window; in a terminal and for
# code there is Neovim (home/common/editors). It checks spelling with the
# dictionaries installed here.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.desktop.applications.text-editor;
in
{
  options.pantherOS.desktop.applications.text-editor = {
    enable = lib.mkEnableOption "GNOME Text Editor";

    dictionaries = mkOption {
      type = types.listOf types.package;
      default = [
        pkgs.hunspellDicts.en_GB-ise
        pkgs.hunspellDicts.en_US
      ];
      defaultText = lib.literalExpression "[ pkgs.hunspellDicts.en_GB-ise pkgs.hunspellDicts.en_US ]";
      example = lib.literalExpression "[ pkgs.hunspellDicts.de_DE ]";
      description = "Dictionaries of Hunspell, which other programs find too.";
    };

    tabWidth = mkOption {
      type = types.ints.between 1 16;
      default = 4;
      example = 2;
      description = "Width of a tabulator.";
    };
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ pkgs.gnome-text-editor ] ++ cfg.dictionaries;
    # Where the spelling checker looks.
    environment.pathsToLink = lib.mkIf (cfg.dictionaries != [ ]) [ "/share/hunspell" ];

    programs.dconf = {
      enable = true;
      profiles.user.databases = [
        {
          settings."org/gnome/TextEditor" = {
            highlight-current-line = true;
            # Text that was not saved is no business of the next start.
            restore-session = false;
            show-line-numbers = true;
            spellcheck = cfg.dictionaries != [ ];
            tab-width = lib.gvariant.mkUint32 cfg.tabWidth;
          };
        }
      ];
    };

    xdg.mime.defaultApplications = lib.genAttrs [
      "text/markdown"
      "text/plain"
    ] (_: "org.gnome.TextEditor.desktop");
  };
}
