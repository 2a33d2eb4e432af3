# One user's home: packages, files, variables, and the generation made of them.
{
  config,
  lib,
  pkgs,
  name,
  undeclared,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.home;

  # programs.<name>.enable of these installs the package of that name.
  programs = {
    bash = "bash-completion";
    bat = "bat";
    eza = "eza";
    fd = "fd";
    fish = "fish";
    fzf = "fzf";
    git = "git";
    jq = "jq";
    neovim = "neovim";
    ripgrep = "ripgrep";
    starship = "starship";
    tmux = "tmux";
    vscode = "vscode";
    zoxide = "zoxide";
    zsh = "zsh";
  };
  enabled = lib.filter (p: config.programs.${p}.enable) (lib.attrNames programs);

  file = types.submodule (
    { name, config, ... }:
    {
      options = {
        text = mkOption {
          type = types.nullOr types.lines;
          default = null;
        };
        source = mkOption { type = types.path; };
        executable = lib.mkEnableOption "the executable bit";
      };
      config.source = lib.mkIf (config.text != null) (
        lib.mkDefault (
          pkgs.writeTextFile {
            name = "hm_${lib.replaceStrings [ "/" "." ] [ "" "" ] name}";
            inherit (config) text executable;
          }
        )
      );
    }
  );
  files = mkOption {
    type = types.attrsOf file;
    default = { };
  };

  plain =
    v:
    if lib.isFunction v then
      "<function>"
    else if lib.isDerivation v || builtins.isPath v then
      "${v}"
    else if builtins.isAttrs v then
      builtins.mapAttrs (_: plain) v
    else if builtins.isList v then
      map plain v
    else
      v;
  # Below programs.<name>, as far as it is data: that program's settings file.
  settings = lib.foldl (
    all: node: lib.recursiveUpdate all (lib.setAttrByPath (lib.drop 3 node.loc) (plain node.value))
  ) { } (lib.filter (node: node.isDefined) undeclared);
in
{
  options = {
    assertions = mkOption {
      type = types.listOf types.attrs;
      default = [ ];
    };
    warnings = mkOption {
      type = types.listOf types.str;
      default = [ ];
    };
    home = {
      username = mkOption { type = types.str; };
      homeDirectory = mkOption { type = types.path; };
      stateVersion = mkOption { type = types.strMatching "[0-9]{2}\\.[0-9]{2}"; };
      packages = mkOption {
        type = types.listOf types.package;
        default = [ ];
      };
      sessionVariables = mkOption {
        type = types.attrsOf (types.either types.int types.str);
        default = { };
      };
      file = files;
      path = mkOption { type = types.package; };
      activationPackage = mkOption { type = types.package; };
    };
    xdg = {
      enable = lib.mkEnableOption "the XDG base directories";
      configFile = files;
      configHome = mkOption {
        type = types.path;
        default = "${cfg.homeDirectory}/.config";
      };
      dataHome = mkOption {
        type = types.path;
        default = "${cfg.homeDirectory}/.local/share";
      };
    };
    programs = lib.mapAttrs (p: _: { enable = lib.mkEnableOption p; }) programs;
  };

  config = {
    home.packages = map (p: pkgs.${programs.${p}}) enabled;
    home.file = lib.mapAttrs' (n: f: lib.nameValuePair ".config/${n}" { inherit (f) source; }) config.xdg.configFile;
    xdg.configFile = lib.listToAttrs (
      map (
        p:
        lib.nameValuePair "${p}/stand-in.json" {
          text = builtins.toJSON (settings.programs.${p} or { }) + "\n";
        }
      ) enabled
    );

    home.path = pkgs.buildEnv {
      name = "home-manager-path";
      paths = cfg.packages ++ [
        (pkgs.writeTextDir "etc/profile.d/hm-session-vars.sh" (
          lib.concatLines (
            lib.mapAttrsToList (n: v: "export ${n}=${lib.escapeShellArg v}") cfg.sessionVariables
          )
        ))
      ];
      pathsToLink = [ "/" ];
      extraOutputsToInstall = [ "man" ];
    };
    home.activationPackage =
      let
        homeFiles = pkgs.runCommand "home-manager-files" { } ''
          mkdir $out
          ${lib.concatStrings (
            lib.mapAttrsToList (n: f: ''
              mkdir -p "$out/$(dirname ${lib.escapeShellArg n})"
              ln -s ${f.source} $out/${lib.escapeShellArg n}
            '') cfg.file
          )}'';
        everythingElse = pkgs.writeText "home-settings.json" (
          builtins.toJSON (removeAttrs settings [ "programs" ])
        );
      in
      pkgs.runCommand "home-manager-generation" { } ''
        mkdir $out
        ln -s ${homeFiles} $out/home-files
        ln -s ${cfg.path} $out/home-path
        ln -s ${everythingElse} $out/settings.json
        echo ${lib.escapeShellArg "${name} ${cfg.stateVersion}"} >$out/gen-version
        printf '#!/bin/sh\necho "a stand-in: no home is changed" >&2\nexit 1\n' >$out/activate
        chmod +x $out/activate
      '';
  };
}
