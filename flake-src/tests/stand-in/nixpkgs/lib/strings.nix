# Strings.
{ lib }:
let
  inherit (builtins)
    concatStringsSep
    filter
    genList
    isString
    match
    replaceStrings
    stringLength
    substring
    ;
  lower = lib.stringToCharacters "abcdefghijklmnopqrstuvwxyz";
  upper = lib.stringToCharacters "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  # split and match see a regular expression: these characters mean themselves.
  escapeRegex = lib.escape (lib.stringToCharacters "\\[{()^$?*+|.");
in
{
  inherit (builtins)
    concatStringsSep
    hashString
    isString
    match
    replaceStrings
    stringLength
    substring
    toJSON
    unsafeDiscardStringContext
    ;
  inherit escapeRegex;
  inherit (builtins) toString;

  optionalString = condition: s: if condition then s else "";
  concatStrings = concatStringsSep "";
  concatLines = lib.concatMapStrings (line: line + "\n");
  concatMapStrings = f: xs: lib.concatStrings (map f xs);
  concatMapStringsSep =
    sep: f: xs:
    concatStringsSep sep (map f xs);
  concatImapStringsSep =
    sep: f: xs:
    concatStringsSep sep (lib.imap1 f xs);
  concatMapAttrsStringSep =
    sep: f: set:
    concatStringsSep sep (lib.mapAttrsToList f set);

  hasPrefix = prefix: s: substring 0 (stringLength prefix) s == prefix;
  hasSuffix =
    suffix: s:
    let
      n = stringLength s - stringLength suffix;
    in
    n >= 0 && substring n (stringLength suffix) s == suffix;
  hasInfix = infix: s: match ".*${escapeRegex infix}.*" (replaceStrings [ "\n" ] [ " " ] s) != null;
  removePrefix =
    prefix: s:
    if lib.hasPrefix prefix s then
      substring (stringLength prefix) (stringLength s - stringLength prefix) s
    else
      s;
  removeSuffix =
    suffix: s:
    if lib.hasSuffix suffix s then substring 0 (stringLength s - stringLength suffix) s else s;

  stringToCharacters = s: genList (i: substring i 1 s) (stringLength s);
  splitString = sep: s: filter isString (builtins.split (escapeRegex sep) s);
  toLower = replaceStrings upper lower;
  toUpper = replaceStrings lower upper;
  trim = s: builtins.head (match "[[:space:]]*(([^[:space:]].*)?[^[:space:]])?[[:space:]]*" s);
  escape = characters: replaceStrings characters (map (c: "\\${c}") characters);
  escapeShellArg =
    arg:
    let
      s = toString arg;
    in
    if match "[[:alnum:],._+:@%/-]+" s != null then
      s
    else
      "'${replaceStrings [ "'" ] [ "'\\''" ] s}'";
  escapeShellArgs = lib.concatMapStringsSep " " lib.escapeShellArg;
  fixedWidthString =
    width: filler: s:
    if stringLength s >= width then s else lib.fixedWidthString width filler "${filler}${s}";
  fixedWidthNumber = width: n: lib.fixedWidthString width "0" (toString n);
  toInt =
    s:
    let
      digits = match "[[:space:]]*(-?)0*([0-9]+)[[:space:]]*" s;
    in
    if digits == null then
      throw "toInt: ${builtins.toJSON s} is not a whole number"
    else
      builtins.fromJSON (lib.concatStrings digits);
  sanitizeDerivationName =
    s:
    let
      clean = lib.concatMapStrings (x: if builtins.isList x then "-" else x) (
        builtins.split "[^[:alnum:]+._?=-]+" (builtins.unsafeDiscardStringContext s)
      );
    in
    lib.removePrefix "." clean;
}
