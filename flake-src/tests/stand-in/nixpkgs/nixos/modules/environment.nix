# /etc, the packages in the system's path, environment variables.
{
  config,
  lib,
  pkgs,
  undeclared,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.environment;

  etcFile = types.submodule (
    {
      name,
      config,
      options,
      ...
    }:
    {
      options = {
        enable = lib.mkEnableOption "the file" // {
          default = true;
        };
        target = mkOption {
          type = types.str;
          default = name;
        };
        text = mkOption {
          type = types.nullOr types.lines;
          default = null;
        };
        source = mkOption { type = types.path; };
        mode = mkOption {
          type = types.str;
          default = "symlink";
        };
        user = mkOption {
          type = types.str;
          default = "+0";
        };
        group = mkOption {
          type = types.str;
          default = "+0";
        };
      };
      config.source = lib.mkIf (config.text != null) (
        lib.mkDefault (
          pkgs.writeText "etc-${lib.replaceStrings [ "/" ] [ "-" ] (lib.removePrefix "." name)}" config.text
        )
      );
    }
  );
  files = lib.filter (f: f.enable) (lib.attrValues cfg.etc);

  # What the stand-in has no option for, as data. A package or a file in it is
  # in the closure; a function cannot be shown.
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
  settings = lib.foldl (
    all: node: lib.recursiveUpdate all (lib.setAttrByPath node.loc (plain node.value))
  ) { } (lib.filter (node: node.isDefined) undeclared);
  exports =
    variables:
    lib.concatLines (
      lib.mapAttrsToList (
        n: v: "export ${n}=${lib.escapeShellArg (lib.concatMapStringsSep ":" toString (lib.toList v))}"
      ) (lib.filterAttrs (_: v: v != null) variables)
    );
  variables = types.attrsOf (
    types.nullOr (
      types.oneOf [
        types.int
        types.str
        types.path
        (types.listOf (types.either types.int types.str))
      ]
    )
  );
in
{
  options.environment = {
    etc = mkOption {
      type = types.attrsOf etcFile;
      default = { };
    };
    systemPackages = mkOption {
      type = types.listOf types.package;
      default = [ ];
    };
    defaultPackages = mkOption {
      type = types.listOf types.package;
      default = [
        pkgs.perl
        pkgs.rsync
        pkgs.strace
      ];
    };
    pathsToLink = mkOption {
      type = types.listOf types.str;
      default = [ ];
    };
    extraOutputsToInstall = mkOption {
      type = types.listOf types.str;
      default = [ ];
    };
    variables = mkOption {
      type = variables;
      default = { };
    };
    sessionVariables = mkOption {
      type = variables;
      default = { };
    };
    shellAliases = mkOption {
      type = types.attrsOf (types.nullOr types.str);
      default = { };
    };
    shells = mkOption {
      type = types.listOf (types.either types.shellPackage types.path);
      default = [ ];
    };
  };
  options.system.path = mkOption {
    type = types.package;
    readOnly = true;
    default = pkgs.buildEnv {
      name = "system-path";
      paths = cfg.systemPackages ++ cfg.defaultPackages;
      inherit (cfg) pathsToLink extraOutputsToInstall;
    };
  };

  config = {
    environment = {
      systemPackages = [
        pkgs.acl
        pkgs.bash
        pkgs.bzip2
        pkgs.coreutils
        pkgs.curl
        pkgs.diffutils
        pkgs.findutils
        pkgs.gawk
        pkgs.getent
        pkgs.gnugrep
        pkgs.gnused
        pkgs.gnutar
        pkgs.gzip
        pkgs.iproute2
        pkgs.iputils
        pkgs.kbd
        pkgs.kmod
        pkgs.less
        pkgs.libcap
        pkgs.libressl-nc
        pkgs.man-db
        pkgs.ncurses
        pkgs.nettools
        pkgs.nixos-rebuild
        pkgs.openssh
        pkgs.patch
        pkgs.procps
        pkgs.psmisc
        pkgs.shadow
        pkgs.systemd
        pkgs.texinfo-interactive
        pkgs.time
        pkgs.util-linux
        pkgs.which
        pkgs.xz
        pkgs.zstd
        pkgs.bash-completion
        pkgs.nixos-help
        pkgs.shared-mime-info
      ];
      pathsToLink = [
        "/bin"
        "/etc/xdg"
        "/sbin"
        "/share/applications"
        "/share/bash-completion"
        "/share/doc"
        "/share/fonts"
        "/share/icons"
        "/share/man"
        "/share/shared-mime-info"
        "/share/wayland-sessions"
      ];
      extraOutputsToInstall = [
        "man"
        "doc"
      ];
      shells = [ pkgs.bash ];
      variables = builtins.mapAttrs (_: lib.mkDefault) {
        EDITOR = "nano";
        NIX_REMOTE = "daemon";
        XDG_CONFIG_DIRS = [ "/etc/xdg" ];
      };
      etc = {
        "set-environment".text = exports (cfg.variables // cfg.sessionVariables);
        "profile".text = ". /etc/set-environment\n";
        "bashrc".text =
          ". /etc/profile\n"
          + lib.concatLines (
            lib.mapAttrsToList (n: v: "alias -- ${n}=${lib.escapeShellArg v}") (
              lib.filterAttrs (_: v: v != null) cfg.shellAliases
            )
          );
        "inputrc".text = "set bell-style none\n";
        "shells".text = lib.concatLines (
          map (s: if lib.isDerivation s then "${s}${s.shellPath}" else toString s) cfg.shells
        );
        "os-release".text = ''
          ID=nixos
          NAME=NixOS
          PRETTY_NAME="stand-in for NixOS ${config.system.nixos.version}"
          VARIANT_ID=stand-in
          VERSION_ID="${config.system.nixos.release}"
        '';
        "localtime".source = lib.mkDefault "${pkgs.tzdata}/share/tzdata";
        "locale.conf".text = lib.mkDefault "LANG=en_US.UTF-8\n";
        "terminfo".source = "${pkgs.ncurses}/share";
        "ssl/certs/ca-certificates.crt".source = "${pkgs.cacert}/share";
        "protocols".source = "${pkgs.iana-etc}/share";
        "services".source = "${pkgs.iana-etc}/share";
        "stand-in/settings.json".text = builtins.toJSON settings + "\n";
      };
    };

    system.build.etc = pkgs.runCommand "etc" { } (
      pkgs.linkTree (
        map (f: {
          name = "etc/${f.target}";
          path = f.source;
        }) files
      )
      # Files with a mode are copied by the activation, which reads these.
      + lib.concatMapStrings (f: ''
        printf '%s\n' ${lib.escapeShellArg f.mode} >$out/etc/${lib.escapeShellArg f.target}.mode
        printf '%s\n' ${lib.escapeShellArg f.user} >$out/etc/${lib.escapeShellArg f.target}.uid
        printf '%s\n' ${lib.escapeShellArg f.group} >$out/etc/${lib.escapeShellArg f.target}.gid
      '') (lib.filter (f: f.mode != "symlink") files)
    );
  };
}
