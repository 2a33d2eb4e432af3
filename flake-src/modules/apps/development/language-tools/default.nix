# Compilers and tools of the languages that are written on this fleet.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.pantherOS.apps.development.language-tools;
  # The shortest useful set for each; projects bring the rest with direnv.
  tools = {
    c = [
      pkgs.gcc
      pkgs.gnumake
    ];
    go = [ pkgs.go ];
    javascript = [ pkgs.nodejs ];
    nix = [ pkgs.nil ];
    python = [ pkgs.python3 ];
  };
in
{
  options.pantherOS.apps.development.language-tools = {
    enable = lib.mkEnableOption "compilers and language servers";

    languages = lib.mkOption {
      type = lib.types.listOf (lib.types.enum (lib.attrNames tools));
      default = lib.attrNames tools;
      defaultText = lib.literalMD "all of them";
      description = "Which languages.";
    };
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = lib.concatMap (language: tools.${language}) cfg.languages;
    programs.direnv.enable = true;
  };
}
