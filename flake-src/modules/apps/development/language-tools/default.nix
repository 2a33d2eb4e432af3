# Compilers, language servers and checkers of the languages that are written on
# this fleet.
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
      pkgs.clang-tools
      pkgs.gcc
      pkgs.gdb
      pkgs.gnumake
    ];
    go = [
      pkgs.delve
      pkgs.go
      pkgs.gopls
    ];
    javascript = [
      pkgs.nodejs
      pkgs.typescript-language-server
    ];
    nix = [
      pkgs.deadnix
      pkgs.nil
      pkgs.statix
    ];
    python = [
      pkgs.pyright
      pkgs.python3
      pkgs.uv
    ];
    rust = [
      pkgs.cargo
      pkgs.clippy
      pkgs.rust-analyzer
      pkgs.rustc
      pkgs.rustfmt
    ];
    shell = [
      pkgs.bash-language-server
      pkgs.shellcheck
      pkgs.shfmt
    ];
  };
in
{
  options.pantherOS.apps.development.language-tools = {
    enable = lib.mkEnableOption "compilers and language servers";

    languages = lib.mkOption {
      type = lib.types.listOf (lib.types.enum (lib.attrNames tools));
      default = lib.attrNames tools;
      defaultText = lib.literalMD "all of them";
      example = [
        "go"
        "nix"
      ];
      description = "Which languages.";
    };
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = lib.concatMap (language: tools.${language}) cfg.languages;
    # A project's own tools come and go with its folder.
    programs.direnv.enable = true;
  };
}
