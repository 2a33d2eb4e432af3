# What is wrong with the list of secrets and the templates, one line each.
# modules/security/secrets/opnix.nix refuses a system while there is any, and
# tests/unit/secrets.nix feeds it broken ones.
{
  lib,
  map,
  names,
  reference,
  templates,
}:
let
  places = lib.attrValues map;
  # What 1Password takes in a reference without quoting; the dot joins sections.
  part = "[A-Za-z0-9_-]+";

  ofSecret =
    name: place:
    lib.optional (builtins.match "[a-z][a-zA-Z0-9]*" name == null)
      "secrets/map.nix: ${name} is no name that OpNix takes: letters and digits, a small letter first"
    ++
      lib.optional (builtins.match "${part}/${part}(/${part})*" place == null)
        "secrets/map.nix: ${name} is at \"${place}\", which is no place in the vault: item/section/field is wanted, without op:// and the vault"
    ++
      lib.optional (lib.count (other: reference other == reference place) places > 1)
        "secrets/map.nix: ${name} is at ${place}, as is another name: one name for each secret";

  ofTemplate =
    file:
    lib.concatMap (
      {
        line,
        variable,
        reference,
      }:
      if variable == null then
        [
          "secrets/templates/${file}: \"${line}\" is neither NAME=op://vault/item/section/field nor a comment"
        ]
      else
        lib.optional (
          !(names ? ${reference})
        ) "secrets/templates/${file}: ${reference} is no secret of secrets/map.nix"
    );
in
lib.concatLists (lib.mapAttrsToList ofSecret map ++ lib.mapAttrsToList ofTemplate templates)
