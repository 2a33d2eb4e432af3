# system.build.toplevel, in the layout of a real one: `ls -l` of
# /run/current-system looks like this. Activating or switching to it is
# refused.
{
  config,
  lib,
  pkgs,
  extendModules,
  undeclared,
  defined,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.system;
  build = cfg.build;

  refuse = what: "echo \"${what}: this system is a stand-in from tests/stand-in, no NixOS\" >&2\nexit 1\n";
  # Each part of the real script is there to be read, none is run.
  activate =
    refuse "activate"
    + "# ${build.etc} ${build.usersGroups}\n"
    + lib.concatLines (
      lib.mapAttrsToList (
        name: a: "# ${name}\n: <<'EOF'\n${if builtins.isString a then a else a.text}\nEOF"
      ) cfg.activationScripts
    );
  specialisations = builtins.mapAttrs (
    _: s:
    (extendModules {
      modules = [
        s.configuration
        { specialisation = lib.mkOverride 0 { }; }
      ];
    }).config.system.build.toplevel
  ) config.specialisation;

  toplevel = pkgs.runCommand "nixos-system-${cfg.name}-${cfg.nixos.label}" {
    inherit activate;
    kernelParams = toString config.boot.kernelParams;
    configurationName = lib.concatStringsSep "-" cfg.nixos.tags;
  } ''
    mkdir -p $out/bin $out/specialisation
    ln -s ${build.kernel}/bzImage $out/kernel
    ln -s ${build.modulesTree} $out/kernel-modules
    ln -s ${build.initialRamdisk}/initrd $out/initrd
    ln -s ${build.firmware}/lib/firmware $out/firmware
    ln -s ${build.etc}/etc $out/etc
    ln -s ${cfg.path} $out/sw
    ln -s ${config.systemd.package} $out/systemd
    printf '%s' "$kernelParams" >$out/kernel-params
    printf '%s' "$configurationName" >$out/configuration-name
    printf 'systemd %s' ${toString config.systemd.package.interfaceVersion} >$out/init-interface-version
    printf '%s' ${lib.escapeShellArg cfg.nixos.label} >$out/nixos-version
    printf '%s' ${pkgs.stdenv.hostPlatform.system} >$out/system
    printf '%s ' ${toString cfg.extraDependencies} >$out/extra-dependencies
    for name in activate dry-activate; do
      printf '#!/bin/sh\n%s# %s\n' "$activate" $out >$out/$name
    done
    printf '#!/bin/sh\n%s# %s\n' ${lib.escapeShellArg (refuse "init")} "$out" >$out/init
    printf '#!/bin/sh\n%s# %s\n' ${lib.escapeShellArg (refuse "switch-to-configuration")} \
      ${pkgs.switch-to-configuration-ng}/bin/switch-to-configuration >$out/bin/switch-to-configuration
    printf '#!/bin/sh\n%s# %s\n' ${lib.escapeShellArg (refuse "install-boot-loader")} \
      ${build.installBootLoader} >$out/append-initrd-secrets
    chmod +x $out/activate $out/dry-activate $out/init $out/append-initrd-secrets $out/bin/switch-to-configuration
    cat >$out/boot.json <<EOF
    {"org.nixos.bootspec.v1":{"init":"$out/init","initrd":"${build.initialRamdisk}/initrd","kernel":"${build.kernel}/bzImage","kernelParams":${
      builtins.toJSON config.boot.kernelParams
    },"label":"stand-in ${cfg.nixos.label}","system":"${pkgs.stdenv.hostPlatform.system}","toplevel":"$out"}}
    EOF
    ${lib.concatMapAttrsStringSep "\n" (
      name: system: "ln -s ${system} $out/specialisation/${lib.escapeShellArg name}"
    ) specialisations}
  '';

  # What is set, against the names and types of the real options. What is built
  # of it, the toplevel too, is not: it asks this first.
  ours =
    node:
    lib.elem (lib.head node.loc) [
      "_module"
      "pantherOS"
      "standIn"
    ]
    || lib.hasPrefix "system.build" (lib.showOption node.loc);
  homes = lib.concatMap (home: home.definitions) (lib.attrValues (config.home-manager.users or { }));
  unfit = lib.unfit config.standIn.tables (
    lib.filter (node: !ours node) (lib.filter (node: node.isDefined) undeclared ++ defined) ++ homes
  );

  failed = map (a: a.message) (lib.filter (a: !a.assertion) config.assertions) ++ unfit;
in
{
  options = {
    # Tables of the options that NixOS and the other inputs really have.
    standIn.tables = mkOption {
      type = types.listOf types.path;
      default = [ ];
    };
    specialisation = mkOption {
      type = types.attrsOf (
        types.submodule {
          options.configuration = mkOption {
            type = types.deferredModule;
            default = { };
          };
        }
      );
      default = { };
    };
    system = {
      name = mkOption {
        type = types.str;
        default = config.networking.hostName;
      };
      stateVersion = mkOption { type = types.strMatching "[0-9]{2}\\.[0-9]{2}"; };
      build = mkOption {
        type = types.lazyAttrsOf types.raw;
        default = { };
      };
      activationScripts = mkOption {
        type = types.attrsOf (types.either types.str types.attrs);
        default = { };
      };
      extraDependencies = mkOption {
        type = types.listOf types.package;
        default = [ ];
      };
      nixos = {
        release = mkOption {
          type = types.str;
          readOnly = true;
          default = lib.trivial.release;
        };
        version = mkOption {
          type = types.str;
          default = lib.version;
        };
        tags = mkOption {
          type = types.listOf types.str;
          default = [ ];
        };
        label = mkOption {
          type = types.strMatching "[a-zA-Z0-9:_.-]*";
          default = lib.concatStringsSep "-" (config.system.nixos.tags ++ [ config.system.nixos.version ]);
        };
      };
    };
  };

  config.standIn.tables = lib.mkBefore [
    ../options.nix
    ../options-25.05.nix
  ];
  config.system = {
    build.toplevel =
      if failed != [ ] then
        throw "\nFailed assertions:\n${lib.concatMapStringsSep "\n" (m: "- ${m}") failed}"
      else
        lib.showWarnings config.warnings toplevel;
  };
}
