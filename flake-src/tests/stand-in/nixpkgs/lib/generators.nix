# Configuration file formats.
{ lib }:
let
  scalar =
    v:
    if builtins.isBool v then
      lib.boolToString v
    else if v == null then
      "null"
    else
      toString v;
  keyValue = sep: k: v: "${k}${sep}${scalar v}";
in
{
  generators = {
    mkValueStringDefault = _: scalar;
    mkKeyValueDefault = _: keyValue;
    toKeyValue =
      {
        mkKeyValue ? keyValue "=",
        listsAsDuplicateKeys ? false,
      }:
      set:
      lib.concatLines (
        lib.concatLists (
          lib.mapAttrsToList (
            k: v: if listsAsDuplicateKeys then map (mkKeyValue k) (lib.toList v) else [ (mkKeyValue k v) ]
          ) set
        )
      );
    toINI =
      args: sections:
      lib.concatMapAttrsStringSep "\n" (
        name: set: "[${name}]\n${lib.generators.toKeyValue args set}"
      ) sections;
    toJSON = _: builtins.toJSON;
    # One line, for messages: what cannot be shown is named by its type.
    toPretty =
      {
        depth ? 3,
      }:
      v:
      if builtins.isFunction v then
        "<function>"
      else if lib.isDerivation v then
        "<derivation ${v.name or "?"}>"
      else if builtins.isAttrs v then
        if depth == 0 then
          "{ ... }"
        else
          "{ ${
            lib.concatMapStrings (
              n: "${n} = ${lib.generators.toPretty { depth = depth - 1; } v.${n}}; "
            ) (lib.attrNames v)
          }}"
      else if builtins.isList v then
        if depth == 0 then
          "[ ... ]"
        else
          "[ ${lib.concatMapStrings (x: "${lib.generators.toPretty { depth = depth - 1; } x} ") v}]"
      else if builtins.isPath v then
        toString v
      else
        builtins.toJSON v;
  };

  # Numbers of a given size in dconf: here they stay what they are.
  gvariant = {
    mkInt32 = v: v;
    mkUint32 = v: v;
  };
}
