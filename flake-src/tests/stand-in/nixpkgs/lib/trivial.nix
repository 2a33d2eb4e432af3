# Functions, numbers, versions, files and messages.
{ lib }:
{
  inherit (builtins)
    add
    bitAnd
    bitOr
    bitXor
    compareVersions
    fromJSON
    functionArgs
    isBool
    isFloat
    isFunction
    isInt
    isPath
    lessThan
    pathExists
    readDir
    readFile
    seq
    deepSeq
    sub
    throw
    trace
    typeOf
    ;

  # The NixOS release whose options and behaviour are being stood in for.
  trivial = {
    release = "25.05";
    codeName = "Warbler";
    versionSuffix = ".stand-in";
    version = lib.version;
  };
  version = "${lib.trivial.release}${lib.trivial.versionSuffix}";

  id = x: x;
  const = x: _: x;
  flip =
    f: a: b:
    f b a;
  pipe = builtins.foldl' (x: f: f x);
  min = a: b: if a < b then a else b;
  max = a: b: if a > b then a else b;
  mod = a: b: a - b * (a / b);
  boolToString = b: if b then "true" else "false";
  fix =
    f:
    let
      x = f x;
    in
    x;
  extends =
    overlay: f: final:
    let
      prev = f final;
    in
    prev // overlay final prev;

  importJSON = path: builtins.fromJSON (builtins.readFile path);
  importTOML = path: builtins.fromTOML (builtins.readFile path);

  # Functions that carry the names of their arguments with them.
  setFunctionArgs = f: args: {
    __functor = _: f;
    __functionArgs = args;
  };
  toFunction = f: if builtins.isFunction f || f ? __functor then f else _: f;

  versionOlder = a: b: builtins.compareVersions a b < 0;
  versionAtLeast = a: b: builtins.compareVersions a b >= 0;

  warn = message: builtins.trace "evaluation warning: ${message}";
  warnIf = condition: message: if condition then lib.warn message else lib.id;
  throwIf = condition: message: if condition then throw message else lib.id;
  throwIfNot = condition: lib.throwIf (!condition);
  assertMsg = condition: message: condition || throw message;
  assertOneOf =
    name: value: allowed:
    lib.assertMsg (builtins.elem value allowed)
      "${name} must be one of ${builtins.toJSON allowed}, but is ${builtins.toJSON value}";
  showWarnings = warnings: value: builtins.foldl' (v: w: lib.warn w v) value warnings;
}
