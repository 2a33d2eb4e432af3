# The flake's own tests: legacyPackages.<system>.tests, built by `make test`.
#
# Every file of unit/, integration/ and validation/ is a suite: a function to an
# attribute set of cases, each { expr; expected; }. A case whose expr is something
# else fails the check, with both values. Systems that a suite makes are always on
# the stand-ins; `hosts` are the flake's, on whatever nixpkgs it has.
{ pkgs, hosts }:
let
  inherit (pkgs) lib;
  standIn = import ./stand-in.nix;

  run =
    suite: file:
    let
      cases = import file { inherit standIn hosts; };
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
      pkgs.runCommand suite { } "echo ${toString (lib.length (lib.attrNames cases))} cases >$out"
    else
      throw "tests failed:\n${report}";
in
lib.concatMapAttrs (
  kind: folder:
  lib.mapAttrs' (
    file: _:
    let
      suite = "${kind}-${lib.removeSuffix ".nix" file}";
    in
    lib.nameValuePair suite (run suite (folder + "/${file}"))
  ) (lib.filterAttrs (file: _: lib.hasSuffix ".nix" file) (builtins.readDir folder))
) {
  unit = ./unit;
  integration = ./integration;
  validation = ./validation;
}
