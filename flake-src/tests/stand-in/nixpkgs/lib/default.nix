# The part of nixpkgs' `lib` that this flake and its stand-ins use, written
# anew under the same names and with the same meaning. It is not a copy of
# nixpkgs' lib: a function that is missing here may well exist there.
let
  parts = [
    ./trivial.nix
    ./lists.nix
    ./strings.nix
    ./attrsets.nix
    ./packages.nix
    ./generators.nix
    ./filesystem.nix
    ./options.nix
    ./option-table.nix
    ./properties.nix
    ./types.nix
    ./modules.nix
  ];

  # Every part is a function of the finished library to its own functions.
  lib = builtins.foldl' (done: part: done // import part { inherit lib; }) { } parts;
in
lib
