# Attribute sets.
{ lib }:
let
  inherit (builtins)
    attrNames
    concatMap
    filter
    foldl'
    hasAttr
    head
    isAttrs
    listToAttrs
    tail
    ;
in
{
  inherit (builtins)
    attrNames
    attrValues
    catAttrs
    getAttr
    hasAttr
    intersectAttrs
    isAttrs
    listToAttrs
    mapAttrs
    removeAttrs
    zipAttrsWith
    ;

  nameValuePair = name: value: { inherit name value; };
  optionalAttrs = condition: set: if condition then set else { };
  genAttrs = names: f: listToAttrs (map (n: lib.nameValuePair n (f n)) names);
  getAttrs = names: set: lib.genAttrs names (n: set.${n});
  attrVals = names: set: map (n: set.${n}) names;
  filterAttrs = p: set: removeAttrs set (filter (n: !(p n set.${n})) (attrNames set));
  mapAttrs' = f: set: listToAttrs (lib.mapAttrsToList f set);
  mapAttrsToList = f: set: map (n: f n set.${n}) (attrNames set);
  concatMapAttrs = f: set: lib.mergeAttrsList (lib.mapAttrsToList f set);
  mergeAttrsList = foldl' (a: b: a // b) { };
  attrsToList = lib.mapAttrsToList lib.nameValuePair;
  foldlAttrs =
    f: init: set:
    foldl' (acc: n: f acc n set.${n}) init (attrNames set);
  isDerivation = x: isAttrs x && (x.type or null) == "derivation";

  attrByPath =
    path: default: set:
    if path == [ ] then
      set
    else if isAttrs set && hasAttr (head path) set then
      lib.attrByPath (tail path) default set.${head path}
    else
      default;
  hasAttrByPath =
    path: set:
    path == [ ]
    || isAttrs set && hasAttr (head path) set && lib.hasAttrByPath (tail path) set.${head path};
  getAttrFromPath =
    path:
    lib.attrByPath path (
      throw "cannot find attribute `${builtins.concatStringsSep "." path}'"
    );
  setAttrByPath =
    path: value:
    if path == [ ] then value else { ${head path} = lib.setAttrByPath (tail path) value; };

  mapAttrsRecursive = lib.mapAttrsRecursiveCond (_: true);
  mapAttrsRecursiveCond =
    descend: f:
    let
      go =
        path:
        builtins.mapAttrs (
          n: v: if isAttrs v && descend v then go (path ++ [ n ]) v else f (path ++ [ n ]) v
        );
    in
    go [ ];
  recursiveUpdate =
    a: b:
    a
    // builtins.mapAttrs (
      n: v: if isAttrs v && isAttrs (a.${n} or null) then lib.recursiveUpdate a.${n} v else v
    ) b;
  collect =
    p: set:
    if p set then
      [ set ]
    else if isAttrs set then
      concatMap (n: lib.collect p set.${n}) (attrNames set)
    else
      [ ];
}
