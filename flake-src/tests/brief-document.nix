# docs/brief.md: promises/ as an index from the brief's words to files and options.
{ lib }:
let
  inherit (import ./promises) modules composed rest;
  inherit (import ./rows.nix) show;
  # A cell is one line, and a bar ends it.
  cell = lib.replaceStrings [ "|" "\n" ] [ "\\|" " " ];
  line =
    file: promise:
    let
      words = lib.unique (
        lib.filter (w: w != null) [
          (promise.line or null)
          (promise.more or null)
        ]
      );
    in
    "| `${file}` | ${cell (lib.concatStringsSep "; " words)}${
      lib.optionalString (promise ? what) (
        cell "${lib.optionalString (words != [ ]) ". "}${promise.what}"
      )
    } | ${
      cell (
        lib.concatMapStringsSep ", " (row: "`${row.option}` ${show row}") (
          promise.facts or [ ] ++ promise.onHosts or [ ]
        )
      )
    } |";
  table =
    title: files:
    [
      ""
      "## ${title}"
      ""
      "| file | the brief's words | of the system, and gone without it |"
      "|---|---|---|"
    ]
    ++ lib.mapAttrsToList line files;
  below = folder: lib.filterAttrs (file: _: lib.hasPrefix "${folder}/" file);
in
lib.concatLines (
  [
    "<!-- Written by `make brief-doc` from flake-src/tests/promises. -->"
    "# From the owner's brief to the setting"
    ""
    "Look the brief's words up here; the file next to them (below `flake-src`) has"
    "the setting, and a module's options are named like its path:"
    "`modules/base/time-locale.nix` has `pantherOS.base.time-locale.*`. Which options"
    "there are, of what type and with which default, is at the top of the module."
    ""
    "The last column is what the evaluated system has by the file, some of it with"
    "settings that a test adds (`flake-src/tests/promises`). `make test` switches each"
    "module off, leaves each other file out, and fails if any of it stays;"
    "`make test-real` does that to the real hosts."
  ]
  ++ lib.concatMap (folder: table "modules/${folder}" (below "modules/${folder}" modules)) [
    "base"
    "hardware"
    "desktop"
    "apps"
    "services"
    "security"
    "networking"
  ]
  ++ table "profiles" (below "profiles" composed)
  ++ table "hosts" (below "hosts" composed)
  ++ table "home" (below "home" composed)
  ++ [
    ""
    "## The rest of the tree"
    ""
    "| file | the brief's words | |"
    "|---|---|---|"
  ]
  ++ lib.mapAttrsToList (
    file: promise: "| `${file}` | ${promise.line} | ${cell promise.what} |"
  ) rest.files
  ++ [
    ""
    "## Settings that the brief writes out"
    ""
    "Nix refuses some of them, others exist under another name."
    ""
    "| the brief | here | file |"
    "|---|---|---|"
  ]
  ++ map (s: "| `${cell s.brief}` | ${cell s.here} | `${s.file}` |") rest.samples
  ++ [
    ""
    "## Its other headings"
    ""
    "| the brief | here |"
    "|---|---|"
  ]
  ++ map (h: "| ${cell h.brief} | ${cell h.here} |") rest.headings
)
