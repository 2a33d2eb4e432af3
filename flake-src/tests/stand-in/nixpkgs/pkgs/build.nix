# The builders: derivations that /bin/sh makes, with nothing else. In Nix's
# sandbox that is busybox with its applets; without a sandbox it is the
# machine's own shell with the tools in /bin and /usr/bin.
{ lib, system }:
let
  # drv attrs passthru: `attrs` are the derivation's, with `script` to run;
  # `passthru` is seen by Nix only.
  drv =
    {
      name,
      script,
      outputs ? [ "out" ],
      ...
    }@attrs:
    passthru:
    let
      d = derivation (
        removeAttrs attrs [ "script" ]
        // {
          inherit system outputs;
          name = lib.sanitizeDerivationName name;
          builder = "/bin/sh";
          args = [
            "-euc"
            script
          ];
          PATH = lib.concatStringsSep ":" (
            map (pkg: "${lib.getBin pkg}/bin") (attrs.nativeBuildInputs or [ ])
            ++ [ "/bin:/usr/bin" ]
          );
        }
      );
      outs = lib.genAttrs outputs (o: d.${o} // common);
      common = outs // passthru // { inherit outputs; };
    in
    outs.${builtins.head outputs};

  # The environment of runCommand: what stdenv itself would eat is taken out.
  split = env: {
    attrs = removeAttrs env [
      "meta"
      "passthru"
      "preferLocalBuild"
    ];
    passthru = env.passthru or { } // {
      meta = env.meta or { };
    };
  };
in
rec {
  inherit drv;

  runCommand =
    name: env: script:
    let
      parts = split env;
    in
    # As in stdenv, an unset variable is no error.
    drv (
      parts.attrs
      // {
        inherit name;
        script = "set +u\n${script}\n";
      }
    ) parts.passthru;
  runCommandLocal = runCommand;
  runCommandNoCC = runCommand;

  writeTextFile =
    {
      name,
      text,
      executable ? false,
      destination ? "",
      meta ? { },
      passthru ? { },
      ...
    }:
    runCommand name
      {
        inherit text meta passthru;
      }
      ''
        ${lib.optionalString (destination != "") "mkdir -p \"$out${dirOf destination}\""}
        printf '%s' "$text" >"$out${destination}"
        ${lib.optionalString executable "chmod +x \"$out${destination}\""}
      '';
  writeText = name: text: writeTextFile { inherit name text; };
  writeTextDir =
    path: text:
    writeTextFile {
      name = baseNameOf path;
      destination = "/${path}";
      inherit text;
    };
  writeScript =
    name: text:
    writeTextFile {
      inherit name text;
      executable = true;
    };
  writeScriptBin =
    name: text:
    writeTextFile {
      inherit name text;
      executable = true;
      destination = "/bin/${name}";
      meta.mainProgram = name;
    };
  writeShellScript = name: text: writeScript name "#!/bin/sh\n${text}\n";
  writeShellScriptBin = name: text: writeScriptBin name "#!/bin/sh\n${text}\n";
  writeShellApplication =
    {
      name,
      text,
      runtimeInputs ? [ ],
      ...
    }:
    writeShellScriptBin name ''
      set -eu
      export PATH="${lib.makeBinPath runtimeInputs}:$PATH"
      ${text}'';

  # linkTree entries: shell lines that link each { name; path; } below $out.
  linkTree =
    entries:
    let
      folders = lib.unique (map (e: dirOf e.name) entries);
    in
    "mkdir -p ${lib.concatMapStringsSep " " (f: "$out/${lib.escapeShellArg f}") ([ "." ] ++ folders)}\n"
    + lib.concatMapStrings (e: "ln -s ${e.path} $out/${lib.escapeShellArg e.name}\n") entries;

  # entries: [ { name; path; } ] or an attribute set of paths.
  linkFarm =
    name: entries:
    runCommand name { } (
      linkTree (
        if builtins.isAttrs entries then
          lib.mapAttrsToList (n: path: {
            name = n;
            inherit path;
          }) entries
        else
          entries
      )
    );

  # The packages' files in one tree of symlinks. Folders that several packages
  # share are real ones, everything below them is linked; of two files with
  # one name the first wins.
  buildEnv =
    {
      name,
      paths,
      pathsToLink ? [ "/" ],
      extraOutputsToInstall ? [ ],
      postBuild ? "",
      meta ? { },
      passthru ? { },
      ...
    }:
    let
      outputsOf =
        pkg:
        [ pkg ]
        ++ lib.concatMap (o: lib.optional (builtins.elem o (pkg.outputs or [ ])) pkg.${o}) (
          [ "bin" ] ++ extraOutputsToInstall
        );
    in
    runCommand name
      {
        inherit meta passthru;
        paths = lib.unique (lib.concatMap outputsOf paths);
        wanted = map (p: if p == "/" then "." else lib.removePrefix "/" p) pathsToLink;
        shared = [
          "."
          "bin"
          "sbin"
          "lib"
          "lib/firmware"
          "lib/modules"
          "etc"
          "etc/xdg"
          "share"
          "share/applications"
          "share/bash-completion"
          "share/bash-completion/completions"
          "share/doc"
          "share/fonts"
          "share/fonts/truetype"
          "share/icons"
          "share/man"
          "share/man/man1"
          "share/man/man5"
          "share/man/man8"
          "share/wayland-sessions"
        ];
      }
      ''
        set +e
        mkdir $out
        # Whether a folder is wanted, or holds one that is.
        links() {
          for w in $wanted; do
            case $w in .) return 0 ;; esac
            case $1/ in $w/*) return 0 ;; esac
            case $w/ in $1/*) return 0 ;; esac
          done
          return 1
        }
        for folder in $shared; do
          [ "$folder" = . ] || links "$folder" || continue
          for path in $paths; do
            [ -d "$path/$folder" ] || continue
            [ -d "$out/$folder" ] || mkdir -p "$out/$folder"
            list=
            for entry in "$path/$folder"/*; do
              [ -e "$entry" ] || [ -L "$entry" ] || continue
              below=''${entry#"$path/"}
              below=''${below#./}
              case " $shared nix-support " in *" $below "*) continue ;; esac
              links "$below" && [ ! -e "$out/$below" ] && list="$list $entry"
            done
            [ -z "$list" ] || ln -s $list "$out/$folder/" || exit 1
          done
        done
        set -e
        ${postBuild}
      '';
  symlinkJoin = args: buildEnv (removeAttrs args [ "pathsToLink" ]);

  emptyFile = writeText "empty-file" "";
  emptyDirectory = runCommand "empty-directory" { } "mkdir $out";

  formats =
    let
      type = lib.types.attrsOf lib.types.anything;
      format = render: _: {
        inherit type;
        generate = name: value: writeText name (render value);
      };
    in
    {
      json = format (value: builtins.toJSON value + "\n");
      # JSON is YAML.
      yaml = format (value: builtins.toJSON value + "\n");
      ini = format (lib.generators.toINI { });
      keyValue = format (lib.generators.toKeyValue { });
    };
}
