# Whether definitions fit real NixOS: tables of the options' names and types,
# taken from a real tree by `make options` (tests/options says how types are
# written; here each type is the number of one in the table's list).
{ lib }:
let
  inherit (builtins)
    elemAt
    filter
    head
    isAttrs
    isBool
    isFloat
    isFunction
    isInt
    isList
    isString
    tail
    ;

  ok = { };
  missing = at: { inherit at; };
  wrong = at: wanted: { inherit at wanted; };
  isWrong = r: r != ok;
  first = results: lib.findFirst isWrong ok results;

  stringLike = value: isString value || isAttrs value && value ? outPath;
  pathLike =
    value: builtins.isPath value || stringLike value && builtins.substring 0 1 (toString value) == "/";
  # A module rather than its configuration: only NixOS can look into it.
  isModule =
    value:
    isFunction value
    || builtins.isPath value
    || isAttrs value && (value ? imports || value ? config || value ? options || value ? _type);

  # Plain types by name: whether a value is one. What is not here takes anything.
  plain = {
    bool = isBool;
    float = value: isFloat value || isInt value;
    int = isInt;
    intBetween = isInt;
    number = value: isInt value || isFloat value;
    numberBetween = value: isInt value || isFloat value;
    numberNonnegative = value: isInt value || isFloat value;
    package = value: lib.isDerivation value || pathLike value;
    path = pathLike;
    pathInStore = pathLike;
    positiveInt = value: isInt value && value > 0;
    shellPackage = lib.isDerivation;
    signedInt16 = isInt;
    signedInt32 = isInt;
    nonEmptyStr = value: isString value && builtins.match "[[:space:]]*" value == null;
    passwdEntry = isString;
    separatedString = isString;
    singleLineStr = value: isString value && builtins.match ".*\n.*" value == null;
    str = isString;
    unsignedInt = value: isInt value && value >= 0;
    unsignedInt16 = value: isInt value && value >= 0 && value < 65536;
    unsignedInt32 = value: isInt value && value >= 0;
    unsignedInt8 = value: isInt value && value >= 0 && value < 256;
  };

  # fits table at number path value: a definition of `value` at `path` below
  # something of that type, which is at `at`.
  fits =
    table: at: number: path: value:
    let
      type = elemAt table.types number;
      kind = if isList type then head type else type;
      part = elemAt type;
      here = wrong at (show table number);
      inner = fits table;
      each =
        names: result:
        first (map result names);
    in
    # Not defined after all, or wrong in itself, which its reader says.
    if path == [ ] && !(builtins.tryEval value).success then
      ok
    else if kind == "nullOr" then
      if path == [ ] && value == null then ok else inner at (part 1) path value
    else if kind == "either" then
      let
        a = inner at (part 1) path value;
      in
      if !isWrong a || !isWrong (inner at (part 2) path value) then ok else here
    else if kind == "attrsOf" || kind == "lazyAttrsOf" then
      if path != [ ] then
        inner (at ++ [ (head path) ]) (part 1) (tail path) value
      else if isAttrs value then
        each (lib.attrNames value) (name: inner (at ++ [ name ]) (part 1) [ ] value.${name})
      else
        here
    else if kind == "submodule" || kind == "freeform" then
      let
        options = part 1;
        attribute =
          name: path: value:
          let
            known = fitsSet table at options ([ name ] ++ path) value;
          in
          # What the options do not name, at any depth, is of the free type.
          if kind == "freeform" && isWrong known && !(known ? wanted) then
            inner at (part 2) ([ name ] ++ path) value
          else
            known;
      in
      if path != [ ] then
        attribute (head path) (tail path) value
      else if isModule value then
        ok
      else if isAttrs value then
        each (lib.attrNames value) (name: attribute name [ ] value.${name})
      else
        here
    else if kind == "listOf" then
      if path == [ ] && isList value then
        each value (inner at (part 1) [ ])
      else
        here
    else if kind == "enum" then
      if path == [ ] && lib.elem value (part 1) then ok else here
    else if kind == "strMatching" then
      if path == [ ] && isString value && builtins.match (part 1) value != null then ok else here
    else if plain ? ${kind} then
      if path == [ ] && plain.${kind} value then ok else here
    else
      ok;

  fitsSet =
    table: at: options: path: value:
    if path == [ ] then
      if isAttrs value then
        first (map (name: fitsSet table at options [ name ] value.${name}) (lib.attrNames value))
      else
        wrong at "a set of options"
    else
      let
        here = at ++ [ (head path) ];
        node = options.${head path};
      in
      if !(options ? ${head path}) then
        missing here
      else if isInt node then
        fits table here node (tail path) value
      else
        fitsSet table here node (tail path) value;

  # A value for a message, without evaluating what is in it.
  shortly =
    value:
    if isString value || isInt value || isBool value || value == null then
      builtins.toJSON value
    else
      "a ${builtins.typeOf value}";

  show =
    table: number:
    let
      type = elemAt table.types number;
      part = n: show table (elemAt type n);
    in
    if !isList type then
      type
    else
      {
        either = "${part 1} or ${part 2}";
        enum = "one of ${builtins.toJSON (elemAt type 1)}";
        freeform = "submodule";
        separatedString = "string";
        strMatching = "string matching ${elemAt type 1}";
        submodule = "submodule";
      }
      .${head type} or "${head type} (${part 1})";
in
{
  # declaredIn tables loc: whether one of them has an option or a set of options
  # at that place.
  declaredIn =
    files: loc:
    lib.any (
      file:
      let
        table = import file;
        result = fitsSet table [ ] table.options loc null;
      in
      !isWrong result || result ? wanted
    ) files;

  # unfit tables nodes: what is wrong with definitions, [ { loc; value; } ], one
  # line for each. A table is a file options.nix, which Nix reads once however
  # many systems ask; what one of them knows is known.
  unfit =
    files:
    let
      tables = map import files;
      release = (head tables).release;
      check =
        { loc, value, ... }:
        let
          results = map (table: fitsSet table [ ] table.options loc value) tables;
          # The table that knows the most of the place is the one it is about.
          deepest = lib.sort (a: b: builtins.length a.at > builtins.length b.at) results;
          bad = head (filter (r: r ? wanted) deepest ++ deepest);
        in
        if builtins.seq value (lib.any (r: !isWrong r) results) then
          [ ]
        else if bad ? wanted then
          [
            "The option `${lib.showOption bad.at}' is ${shortly value} here, but of the type ${bad.wanted} in NixOS ${release}."
          ]
        else
          [
            "The option `${lib.showOption bad.at}' does not exist in NixOS ${release} (the table of tests/stand-in; if it is newer, `make options` on a real tree)."
          ];
    in
    lib.concatMap check;
}
