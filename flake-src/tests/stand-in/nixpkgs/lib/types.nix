# Types of options.
#
# A type is { name; description; check; merge; } and, where it makes sense,
# emptyValue (what no definition means), elemType, and accepts, which says
# what is wrong with a value deep inside. merge gets the definitions that won,
# [ { file; value; } ], all of which have passed check.
{ lib }:
let
  inherit (builtins)
    all
    isAttrs
    isFunction
    isInt
    isList
    isString
    length
    ;

  mk =
    {
      name,
      description ? name,
      check ? (_: true),
      merge ? lib.mergeEqualOption,
      ...
    }@type:
    type
    // {
      _type = "option-type";
      inherit
        name
        description
        check
        merge
        ;
    };
  values = map (def: def.value);
  # "list of string", but "list of (null or string)".
  nested =
    type:
    if builtins.match ".* or .*" type.description != null then "(${type.description})" else type.description;

  int =
    name: lo: hi:
    mk {
      inherit name;
      description =
        if hi == null then
          "integer, at least ${toString lo}"
        else
          "integer between ${toString lo} and ${toString hi} (both inclusive)";
      check = x: isInt x && x >= lo && (hi == null || x <= hi);
    };
  stringLike =
    description: check:
    mk {
      name = "str";
      inherit description;
      check = x: isString x && check x;
    };
  joined =
    name: description: sep:
    mk {
      inherit name description;
      check = isString;
      merge = _: defs: lib.concatStringsSep sep (values defs);
    };

  # Each attribute has its own definitions, with marks of their own. A lazy
  # one keeps the names whose conditions are all false.
  attrsWith =
    { elemType, lazy }:
    mk {
      name = if lazy then "lazyAttrsOf" else "attrsOf";
      description = "attribute set of ${nested elemType}";
      inherit elemType;
      check = isAttrs;
      emptyValue = { };
      merge =
        loc: defs:
        let
          merged = builtins.zipAttrsWith (name: lib.mergeDefinitions (loc ++ [ name ]) elemType) (
            map (def: builtins.mapAttrs (_: value: {
              inherit (def) file;
              inherit value;
            }) def.value) defs
          );
        in
        builtins.mapAttrs (_: m: m.value) (
          if lazy then merged else lib.filterAttrs (_: m: m.isDefined) merged
        );
    };

  submoduleWith =
    {
      modules,
      specialArgs ? { },
      shorthandOnlyDefinesConfig ? false,
      description ? "submodule",
      class ? null,
    }:
    mk {
      name = "submodule";
      inherit description;
      check = x: isAttrs x || isFunction x || builtins.isPath x;
      emptyValue = { };
      # A definition is a module, or with the shorthand its configuration.
      merge =
        loc: defs:
        (lib.evalModules {
          inherit specialArgs;
          prefix = loc;
          modules =
            modules
            ++ [ { _module.args.name = lib.mkOptionDefault (lib.last loc); } ]
            ++ map (
              def:
              if shorthandOnlyDefinesConfig && isAttrs def.value then
                {
                  _file = def.file;
                  config = def.value;
                }
              else
                {
                  _file = def.file;
                  imports = [ def.value ];
                }
            ) defs;
        }).config;
    };
in
{
  isType = name: x: isAttrs x && (x._type or null) == name;

  # All definitions say the same, or it is a conflict.
  mergeEqualOption =
    loc: defs:
    let
      first = builtins.head defs;
    in
    if length defs == 1 || all (def: def.value == first.value) defs then
      first.value
    else
      throw "The option `${lib.showOption loc}' has conflicting definition values:${lib.showDefs defs}\nUse `lib.mkForce value' or `lib.mkDefault value' to change the priority on any of these definitions.";
  mergeOneOption =
    loc: defs:
    if length defs == 1 then
      (builtins.head defs).value
    else
      throw "The option `${lib.showOption loc}' is defined multiple times, while it must have one definition:${lib.showDefs defs}";

  mkOptionType = mk;

  types = {
    bool = mk {
      name = "bool";
      description = "boolean";
      check = builtins.isBool;
    };
    int = mk {
      name = "int";
      description = "signed integer";
      check = isInt;
    };
    float = mk {
      name = "float";
      description = "floating point number";
      check = builtins.isFloat;
    };
    number = mk {
      name = "number";
      check = x: isInt x || builtins.isFloat x;
    };
    port = int "port" 0 65535 // {
      description = "16 bit unsigned integer; between 0 and 65535 (both inclusive)";
    };
    ints = {
      between = int "intBetween";
      unsigned = int "unsignedInt" 0 null;
      positive = int "positiveInt" 1 null;
      u8 = int "unsignedInt8" 0 255;
      u16 = int "unsignedInt16" 0 65535;
      u32 = int "unsignedInt32" 0 4294967295;
      s8 = int "signedInt8" (-128) 127;
      s16 = int "signedInt16" (-32768) 32767;
      s32 = int "signedInt32" (-2147483648) 2147483647;
    };

    str = mk {
      name = "str";
      description = "string";
      check = isString;
    };
    singleLineStr = stringLike "string without a line break" (s: builtins.match "[^\n]*" s != null);
    nonEmptyStr = stringLike "string with something in it" (
      s: builtins.match "[[:space:]]*" s == null
    );
    strMatching =
      pattern: stringLike "string matching the pattern ${pattern}" (s: builtins.match pattern s != null);
    separatedString = joined "separatedString" "strings, joined";
    lines = joined "lines" "strings concatenated with \"\\n\"" "\n";
    commas = joined "commas" "strings concatenated with \",\"" ",";
    envVar = joined "envVar" "strings concatenated with \":\"" ":";

    path = mk {
      name = "path";
      description = "absolute path";
      check =
        x: builtins.isPath x || (isString x || x ? outPath) && builtins.substring 0 1 (toString x) == "/";
    };
    package = mk {
      name = "package";
      check = x: lib.isDerivation x || isString x && lib.hasPrefix builtins.storeDir x;
    };
    shellPackage = mk {
      name = "shellPackage";
      description = "package with shellPath attribute";
      check = x: lib.isDerivation x && x ? shellPath;
    };

    raw = mk {
      name = "raw";
      description = "raw value";
      merge = lib.mergeOneOption;
    };
    unspecified = mk {
      name = "unspecified";
      description = "unspecified value";
    };
    # Sets by attribute, lists by concatenation, the rest must agree.
    anything = mk {
      name = "anything";
      merge =
        loc: defs:
        if all (def: lib.isTree def.value) defs then
          (lib.types.lazyAttrsOf lib.types.anything).merge loc defs
        else if all (def: isList def.value) defs then
          builtins.concatLists (values defs)
        else if length defs > 1 && all (def: isFunction def.value) defs then
          arg: lib.types.anything.merge loc (map (def: def // { value = def.value arg; }) defs)
        else
          lib.mergeEqualOption loc defs;
    };
    attrs = mk {
      name = "attrs";
      description = "attribute set";
      check = isAttrs;
      emptyValue = { };
      merge = _: defs: lib.mergeAttrsList (values defs);
    };

    attrsOf =
      elemType:
      attrsWith {
        inherit elemType;
        lazy = false;
      };
    lazyAttrsOf =
      elemType:
      attrsWith {
        inherit elemType;
        lazy = true;
      };
    listOf =
      elemType:
      mk {
        name = "listOf";
        description = "list of ${nested elemType}";
        inherit elemType;
        check = isList;
        emptyValue = [ ];
        merge =
          loc: defs:
          map (m: m.value) (
            builtins.filter (m: m.isDefined) (
              builtins.concatLists (
                lib.imap1 (
                  n: def:
                  lib.imap1 (
                    m: value:
                    lib.mergeDefinitions (loc ++ [ "[definition ${toString n}-entry ${toString m}]" ]) elemType [
                      {
                        inherit (def) file;
                        inherit value;
                      }
                    ]
                  ) def.value
                ) defs
              )
            )
          );
      };
    nonEmptyListOf =
      elemType:
      let
        list = lib.types.listOf elemType;
      in
      removeAttrs list [ "emptyValue" ]
      // {
        description = "non-empty ${list.description}";
        check = x: isList x && x != [ ];
      };

    enum =
      allowed:
      mk {
        name = "enum";
        description = "one of ${lib.concatMapStringsSep ", " (lib.generators.toPretty { }) allowed}";
        check = x: builtins.elem x allowed;
      };
    nullOr =
      elemType:
      mk {
        name = "nullOr";
        description = "null or ${nested elemType}";
        inherit elemType;
        check = x: x == null || elemType.check x;
        emptyValue = null;
        merge =
          loc: defs:
          let
            nulls = builtins.filter (def: def.value == null) defs;
          in
          if nulls == [ ] then
            elemType.merge loc defs
          else if length nulls == length defs then
            null
          else
            throw "The option `${lib.showOption loc}' is defined both null and not null:${lib.showDefs defs}";
      };
    either =
      a: b:
      mk {
        name = "either";
        description = "${nested a} or ${nested b}";
        check = x: a.check x || b.check x;
        merge =
          loc: defs:
          if all (def: a.check def.value) defs then
            a.merge loc defs
          else if all (def: b.check def.value) defs then
            b.merge loc defs
          else
            lib.mergeOneOption loc defs;
      };
    oneOf = types: lib.foldr lib.types.either (lib.last types) (lib.init types);
    coercedTo =
      from: coerce: to:
      mk (
        lib.optionalAttrs (to ? emptyValue) { inherit (to) emptyValue; }
        // {
          name = "coercedTo";
          description = "${nested to} or ${nested from} convertible to it";
          check = x: from.check x && to.check (coerce x) || to.check x;
          merge =
            loc: defs:
            to.merge loc (
              map (def: if from.check def.value then def // { value = coerce def.value; } else def) defs
            );
        }
      );
    uniq = type: type // { merge = lib.mergeOneOption; };
    unique = _: type: type // { merge = lib.mergeOneOption; };
    addCheck = type: check: type // { check = x: type.check x && check x; };
    functionTo =
      elemType:
      mk {
        name = "functionTo";
        description = "function that evaluates to ${nested elemType}";
        check = isFunction;
        merge =
          loc: defs: arg:
          (lib.mergeDefinitions (loc ++ [ "<function body>" ]) elemType (
            map (def: def // { value = def.value arg; }) defs
          )).value;
      };

    submodule =
      module:
      submoduleWith {
        modules = lib.toList module;
        shorthandOnlyDefinesConfig = true;
      };
    inherit submoduleWith;
    # A module that is kept for somebody else's evaluation.
    deferredModule = mk {
      name = "deferredModule";
      description = "module";
      check = x: isAttrs x || isFunction x || builtins.isPath x;
      emptyValue = { };
      merge = _: defs: {
        imports = map (def: {
          _file = def.file;
          imports = [ def.value ];
        }) defs;
      };
    };
  };
}
