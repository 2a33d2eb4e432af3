# mkIf, mkMerge, mkOverride and mkOrder: marks around a definition, and what
# the evaluator makes of them.
{ lib }:
let
  kind = x: if builtins.isAttrs x then x._type or null else null;
  wrap = {
    "if" = p: lib.mkIf p.condition;
    override = p: lib.mkOverride p.priority;
    order = p: lib.mkOrder p.priority;
  };
in
{
  mkIf = condition: content: {
    _type = "if";
    inherit condition content;
  };
  mkMerge = contents: {
    _type = "merge";
    inherit contents;
  };
  mkOverride = priority: content: {
    _type = "override";
    inherit priority content;
  };
  mkOrder = priority: content: {
    _type = "order";
    inherit priority content;
  };
  mkAssert =
    assertion: message: content:
    lib.mkIf (if assertion then true else throw "\nFailed assertion: ${message}") content;

  # The smaller number wins.
  defaultOverridePriority = 100;
  mkOptionDefault = lib.mkOverride 1500;
  mkDefault = lib.mkOverride 1000;
  mkImageMediaOverride = lib.mkOverride 60;
  mkForce = lib.mkOverride 50;
  mkVMOverride = lib.mkOverride 10;

  # The smaller number comes first in a list or in lines.
  defaultOrderPriority = 1000;
  mkBefore = lib.mkOrder 500;
  mkAfter = lib.mkOrder 1500;

  # pushDownProperties value: the attribute sets in it, each mark moved onto
  # the attributes. So names are known before any condition is.
  pushDownProperties =
    value:
    let
      k = kind value;
    in
    if k == "merge" then
      builtins.concatMap lib.pushDownProperties value.contents
    else if wrap ? ${toString k} then
      map (builtins.mapAttrs (_: wrap.${k} value)) (lib.pushDownProperties value.content)
    else
      [ value ];

  # Whether a value is, below its marks, made of plain attribute sets alone.
  isTree =
    value:
    let
      k = kind value;
    in
    if k == "merge" then
      builtins.all lib.isTree value.contents
    else if wrap ? ${toString k} then
      lib.isTree value.content
    else
      builtins.isAttrs value && k == null && !(lib.isDerivation value) && !(value ? __functor);

  # dischargeProperties def: the definitions that remain when the conditions
  # have been asked, each with its priority and place.
  dischargeProperties =
    let
      go =
        file: priority: order: value:
        let
          k = kind value;
        in
        if k == "merge" then
          builtins.concatMap (go file priority order) value.contents
        else if k == "if" then
          if builtins.isBool value.condition then
            if value.condition then go file priority order value.content else [ ]
          else
            throw "mkIf in `${file}' was given ${lib.generators.toPretty { } value.condition}, which is no condition (true or false)"
        else if k == "override" then
          go file value.priority order value.content
        else if k == "order" then
          go file priority value.priority value.content
        else
          [
            {
              inherit
                file
                priority
                order
                value
                ;
            }
          ];
    in
    def: go def.file lib.defaultOverridePriority lib.defaultOrderPriority def.value;
}
