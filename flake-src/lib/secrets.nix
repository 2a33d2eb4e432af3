# Helpers for secrets: from names and places to 1Password's references, and
# templates as data. The list itself is secrets/map.nix.
{ lib }:
let
  folder = ../secrets/templates;
in
rec {
  map = import ../secrets/map.nix;

  # The vault that all of them are in.
  vault = "pantherOS";

  # reference place: what OpNix and `op` take. op://vault/item/section/field is
  # the deepest there is, so sections in sections are one with dots.
  reference =
    place:
    let
      parts = lib.splitString "/" place;
      section = lib.concatStringsSep "." (lib.init (lib.tail parts));
    in
    if lib.length parts <= 3 then
      "op://${vault}/${place}"
    else
      "op://${vault}/${lib.head parts}/${section}/${lib.last parts}";

  # reference -> name, of all that are in the list.
  names = lib.mapAttrs' (name: place: lib.nameValuePair (reference place) name) map;

  # templates: file name -> [ { variable; reference; } ] in the file's order; a
  # line that is neither this nor a comment has null for both.
  templates = lib.mapAttrs (
    file: _:
    builtins.map
      (
        line:
        let
          parts = builtins.match "([A-Z][A-Z0-9_]*)=(op://[^ ]+)" line;
        in
        {
          inherit line;
          variable = if parts == null then null else lib.head parts;
          reference = if parts == null then null else lib.last parts;
        }
      )
      (
        lib.filter (line: line != "" && !(lib.hasPrefix "#" line)) (
          lib.splitString "\n" (builtins.readFile (folder + "/${file}"))
        )
      )
  ) (lib.filterAttrs (file: _: lib.hasSuffix ".env" file) (builtins.readDir folder));

  # What is wrong with list and templates: one line each, none if all is well.
  problems = import ../secrets/validation.nix {
    inherit
      lib
      map
      names
      reference
      templates
      ;
  };
}
