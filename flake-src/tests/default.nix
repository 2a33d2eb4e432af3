# The flake's own tests: legacyPackages.<system>.tests, built by `make test`.
#
# Every file of unit/ is a suite: a function to an attribute set of cases, each
# { expr; expected; }. A case whose expr is something else fails the check, with
# both values. The suites run on the stand-ins whatever nixpkgs the flake has.
{ pkgs }:
let
  inherit (pkgs) lib;
  standIn = import ./stand-in.nix;

  run =
    suite: file:
    let
      cases = import file { inherit standIn; };
      failed = lib.filterAttrs (
        name: case: builtins.addErrorContext "in the case ${name} of ${suite}:" (case.expr != case.expected)
      ) cases;
      report = lib.concatStrings (
        lib.mapAttrsToList (name: case: ''

          ${suite}: ${name}
            is:     ${builtins.toJSON case.expr}
            wanted: ${builtins.toJSON case.expected}
        '') failed
      );
    in
    if failed == { } then
      pkgs.runCommand "unit-${suite}" { } "echo ${toString (lib.length (lib.attrNames cases))} cases >$out"
    else
      throw "tests failed:\n${report}";
in
lib.mapAttrs' (
  name: _:
  let
    suite = lib.removeSuffix ".nix" name;
  in
  lib.nameValuePair "unit-${suite}" (run suite (./unit + "/${name}"))
) (builtins.readDir ./unit)
