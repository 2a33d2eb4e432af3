# package name row: a stand-in for the package of that name, as a row of
# sets/*.toml describes it. It has the real one's shape (outputs, executables,
# shared libraries with their symlinks, man pages, references to what it
# depends on) and a scaled-down size, and it does nothing when it is run.
{
  lib,
  build,
  corpus,
  set, # the finished package set, for dependencies
  config, # nixpkgs.config
}:
let
  inherit (builtins) concatStringsSep elem;
  contentScript = builtins.readFile ./content.sh;

  hexDigits = lib.genAttrs (lib.stringToCharacters "0123456789abcdef") (
    d: lib.count (x: x < d) (lib.stringToCharacters "0123456789abcdef")
  );
  # A number that is the package's own.
  seedOf =
    text:
    builtins.foldl' (n: d: n * 16 + hexDigits.${d}) 1 (
      lib.stringToCharacters (builtins.substring 0 5 (builtins.hashString "sha256" text))
    );

  # What a row of each kind is made of: lines for `spread` (see content.sh),
  # with sizes in KiB; $out and the like are the outputs.
  files =
    kind: count: kib: stem: suffix:
    "spread ${kind} ${toString count} ${toString (lib.max count kib)} ${stem} ${suffix}";
  one = kind: kib: file: files kind 1 kib file "''";
  kinds = {
    library =
      row: lib.optional (row.kib > 60) (files "text" 3 (row.kib / 12) "$out/share/doc/${row.pname}/" ".txt");
    program = row: [
      (one "binary" (row.kib * 7 / 10) "$out/libexec/${row.pname}")
      (files "text" 3 (row.kib / 8) "$out/share/doc/${row.pname}/" ".html")
      (one "packed" (row.kib / 20) "${row.manRoot}/share/man/man1/${row.pname}.1.gz")
    ];
    # Interpreters: many small files of source.
    scripts = row: [
      (one "binary" (row.kib / 3) "$out/libexec/${row.pname}")
      (files "text" 60 (row.kib / 2) "$out/lib/${row.pname}/module" ".src")
      (files "table" 4 (row.kib / 10) "$out/lib/${row.pname}/unicode" ".src")
    ];
    fonts = row: [ (files "binary" 6 row.kib "$out/share/fonts/truetype/${row.pname}/" ".ttf") ];
    icons = row: [
      (files "text" 60 row.kib "$out/share/icons/${row.pname}/scalable/" ".svg")
      "ln -s ../scalable/1.svg $out/share/icons/${row.pname}/symbolic/one.svg"
      "ln -s scalable $out/share/icons/${row.pname}/64x64"
    ];
    firmware = row: [ (files "packed" 30 row.kib "$out/lib/firmware/${row.pname}/" ".bin.zst") ];
    tables = row: [ (files "table" 8 row.kib "$out/share/${row.pname}/" ".dat") ];
    docs = row: [ (files "text" 20 row.kib "$out/share/doc/${row.pname}/" ".html") ];
    kernel = row: [
      (one "packed" (row.kib / 5) "$out/bzImage")
      (one "table" (row.kib / 5) "$out/System.map")
      (files "packed" 40 (row.kib / 15) "$modules/lib/modules/${row.version}/drivers/" ".ko.xz")
      (files "binary" 30 (row.kib * 4 / 9) "$modules/lib/modules/${row.version}/fs/" ".ko")
    ];
    modules = row: [ (files "binary" 4 row.kib "$out/lib/modules/${row.pname}/" ".ko") ];
  };
  # The folders that those lines want, and those of programs and libraries.
  folders =
    row: lines:
    lib.unique (
      lib.concatMap (
        line:
        let
          words = lib.splitString " " line;
        in
        lib.optional (lib.head words == "spread") (dirOf "${lib.elemAt words 4}x")
      ) lines
      ++ lib.optional (row.programs != [ ]) "$out/bin"
      ++ lib.optional (row.libs != [ ]) "${row.libRoot}/lib"
      ++ lib.optional (row.kind == "icons") "$out/share/icons/${row.pname}/symbolic"
      ++ lib.optional row.desktop "$out/share/applications"
      ++ lib.optional row.session "$out/share/wayland-sessions"
      ++ lib.optional (row.deps != [ ]) "$out/nix-support"
    );

  ofKind =
    name: row0: args:
    let
      row = {
        pname = name;
        kib = 100;
        deps = [ ];
        outputs = [ "out" ] ++ lib.optional (elem row.kind [ "program" ] && row.kib >= 400) "man";
        programs = lib.optional (elem row.kind [ "program" "scripts" ]) row.pname;
        libs = lib.optional (row.kind == "library") row.pname;
        manRoot = if elem "man" row.outputs then "$man" else "$out";
        libRoot = if elem "lib" row.outputs then "$lib" else "$out";
        unfree = false;
        desktop = false;
        session = false;
      }
      // row0;
      name' = "${row.pname}-${row.version}";
      references = map (dep: lib.getLib set.${dep}) row.deps;

      # lib/libX.so.1.2.3 and its two symlinks, for each library.
      numbers = lib.splitString "." (lib.head (lib.splitString "-" row.version));
      soname = "so.${lib.head numbers}";
      sofile = "${soname}.${concatStringsSep "." (lib.tail numbers ++ [ "0" ])}";
      library = name: ''
        spread binary 1 ${toString (lib.max 4 (row.kib * 8 / 10 / lib.length row.libs))} ${row.libRoot}/lib/lib${name}.${sofile} ""
        refer ${row.libRoot}/lib/lib${name}.${sofile} $references
        ln -s lib${name}.${sofile} ${row.libRoot}/lib/lib${name}.${soname}
        ln -s lib${name}.${soname} ${row.libRoot}/lib/lib${name}.so'';
      main = lib.head row.programs;
      made = kinds.${row.kind} row;
      script = concatStringsSep "\n" (
        [ "mkdir -p ${concatStringsSep " " (map (o: "$" + o) row.outputs ++ folders row made)}" ]
        ++ made
        ++ map library row.libs
        # What depends on it need not look into libraries to know.
        ++ lib.optional (row.deps != [ ]) "refer $out/nix-support/run-path $references"
        ++ lib.optionals (row.programs != [ ]) (
          [ "program $out/bin/${main} ${main} ${row.version}" ]
          ++ map (p: "ln -s ${main} $out/bin/${p}") (lib.tail row.programs)
        )
        ++ lib.optional (elem row.kind [
          "program"
          "scripts"
        ]) "refer $out/libexec/${row.pname} $references ${lib.optionalString (elem "lib" row.outputs) "$lib"}"
        ++ lib.optional row.desktop
          "printf '[Desktop Entry]\\nType=Application\\nName=%s\\nExec=%s/bin/%s\\n' ${row.pname} $out ${main} >$out/share/applications/${row.pname}.desktop"
        ++ lib.optional row.session
          "printf '[Desktop Entry]\\nType=Application\\nName=%s\\nExec=%s/bin/%s-session\\n' ${row.pname} $out ${row.pname} >$out/share/wayland-sessions/${row.pname}.desktop"
        ++ lib.optional (executables != [ ]) "chmod +x ${concatStringsSep " " executables}"
      );
      executables =
        lib.optional (row.programs != [ ]) "$out/bin/${main}"
        ++ lib.optional (elem row.kind [
          "program"
          "scripts"
        ]) "$out/libexec/${row.pname}"
        ++ lib.optional (row.libs != [ ]) "${row.libRoot}/lib/*.${sofile}";
      allowed =
        !row.unfree
        || (config.allowUnfree or false)
        || (config.allowUnfreePredicate or (_: false)) (
          {
            inherit (row) pname version;
          }
        );
      built = build.drv (
        {
          name = name';
          inherit (row) outputs version;
          inherit references corpus;
          seed = seedOf name';
          script = contentScript + script + "\n";
        }
        # A variant (`override`) is another package: its arguments are kept.
        // lib.optionalAttrs (args != { }) { overridden = lib.generators.toPretty { } args; }
      ) {
        inherit (row) pname version;
        meta = {
          description = "stand-in for ${row.pname}";
          license = {
            free = !row.unfree;
          };
          inherit (row) unfree;
        }
        // lib.optionalAttrs (row.programs != [ ]) { mainProgram = row.mainProgram or (lib.head row.programs); };
        override = f: ofKind name row0 (args // (if builtins.isFunction f then f { } else f));
      };
    in
    (
      if allowed then
        built
      else
        throw "The package ${name'} has an unfree license: allow it by name in pantherOS.base.unfree-packages, or with nixpkgs.config.allowUnfree"
    )
    // row.passthru or { };
in
name: row: ofKind name row { }
