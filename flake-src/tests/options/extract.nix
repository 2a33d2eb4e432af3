# extract options: names and types of a tree of NixOS options as plain data, for
# the table that the stand-ins check against (see default.nix).
#
# An option is "option" = its type; a set of options is an attribute set. A type
# is its name, or a list of its name and what it is made of:
#
#   "bool"  ["nullOr","str"]  ["enum",["a","b"]]  ["either","int","str"]
#   ["submodule",OPTIONS]  ["freeform",OPTIONS,TYPE]  ["separatedString","\n"]
#   ["strMatching","[a-z]+"]  ["intBetween",0,255]
#
# "alias" is the old name of a renamed option, "any" what cannot be said.
{ lib }:
let
  isOption = x: builtins.isAttrs x && (x._type or null) == "option";
  # What throws is left out.
  attempt =
    default: value:
    let
      r = builtins.tryEval (builtins.deepSeq value value);
    in
    if r.success then r.value else default;

  # wrapped: how many lists, sets and the like are around it. A type that contains
  # itself (JSON values, say) ends at the fourth; its description would not do to
  # know it again, since that may contain itself as well.
  typeOf =
    wrapped: depth: t:
    let
      nested = t.nestedTypes or { };
      payload = t.functor.payload or null;
      inner = typeOf (wrapped + 1) depth;
      beside = typeOf wrapped depth;
      either =
        a: b:
        if a == "any" || b == "any" then
          "any"
        else
          [
            "either"
            a
            b
          ];
    in
    if wrapped > 3 then
      "any"
    else if t.name == "unique" && nested ? elemType then
      beside nested.elemType
    else if t.name == "nullOr" then
      let
        elem = inner nested.elemType;
      in
      if elem == "any" then
        "any"
      else
        [
          "nullOr"
          elem
        ]
    else if
      lib.elem t.name [
        "listOf"
        "attrsOf"
        "lazyAttrsOf"
      ]
      && nested ? elemType
    then
      [
        t.name
        (inner nested.elemType)
      ]
    else if t.name == "either" then
      either (beside nested.left) (beside nested.right)
    else if t.name == "coercedTo" then
      # Either may be given.
      either (beside nested.coercedType) (beside nested.finalType)
    else if t.name == "enum" then
      [
        "enum"
        (lib.filter (v: !(lib.isAttrs v || lib.isFunction v)) (payload.values or [ ]))
      ]
    else if t.name == "separatedString" then
      [
        "separatedString"
        (payload.sep or "")
      ]
    else if lib.hasPrefix "strMatching " t.name then
      [
        "strMatching"
        # The name has the pattern as Nix writes a string: JSON, but for the
        # dollar. The description may be words.
        (builtins.fromJSON (
          lib.replaceStrings [ "\\$" ] [ "$" ] (lib.removePrefix "strMatching " t.name)
        ))
      ]
    else if t.name == "submodule" then
      if depth > 5 then
        "attrs"
      else
        let
          options = tree (depth + 1) (
            removeAttrs (t.getSubOptions [ ]) [
              "_module"
              "_freeformOptions"
            ]
          );
        in
        if nested ? freeformType then
          [
            "freeform"
            options
            (beside nested.freeformType)
          ]
        else
          [
            "submodule"
            options
          ]
    else
      t.name;

  # Hidden options without a description are removed ones.
  option =
    depth: o:
    if (o.visible or true) == false then
      (if o ? description then "alias" else null)
    else if (o.visible or true) == "shallow" then
      # Manuals do not look into it, most often since it contains all of NixOS.
      "any"
    else
      attempt "any" (typeOf 0 depth o.type);

  tree =
    depth: set:
    lib.filterAttrs (_: v: v != null && v != { }) (
      lib.mapAttrs (
        _: node:
        if isOption node then
          attempt null (option depth node)
        else if lib.isAttrs node then
          tree depth node
        else
          null
      ) set
    );
in
tree 0
