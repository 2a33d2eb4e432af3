# Lists.
{ lib }:
let
  inherit (builtins)
    concatLists
    elem
    elemAt
    filter
    foldl'
    genList
    isList
    length
    sort
    ;
in
{
  inherit (builtins)
    all
    any
    concatLists
    concatMap
    elem
    elemAt
    filter
    foldl'
    genList
    groupBy
    head
    isList
    length
    map
    partition
    sort
    tail
    ;

  singleton = x: [ x ];
  optional = condition: x: if condition then [ x ] else [ ];
  optionals = condition: xs: if condition then xs else [ ];
  toList = x: if isList x then x else [ x ];
  forEach = xs: f: map f xs;
  range = first: last: if first > last then [ ] else genList (i: first + i) (last - first + 1);
  replicate = n: x: genList (_: x) n;
  count = p: xs: length (filter p xs);
  remove = x: filter (y: y != x);
  unique = foldl' (seen: x: if elem x seen then seen else seen ++ [ x ]) [ ];
  flatten = x: if isList x then concatLists (map lib.flatten x) else [ x ];
  foldr =
    f: nul: xs:
    let
      n = length xs;
      go = i: if i == n then nul else f (elemAt xs i) (go (i + 1));
    in
    go 0;
  foldl = foldl';
  imap0 = f: xs: genList (i: f i (elemAt xs i)) (length xs);
  imap1 = f: xs: genList (i: f (i + 1) (elemAt xs i)) (length xs);
  reverseList =
    xs:
    let
      n = length xs;
    in
    genList (i: elemAt xs (n - i - 1)) n;
  sublist =
    start: n: xs:
    genList (i: elemAt xs (start + i)) (lib.max 0 (lib.min n (length xs - start)));
  take = lib.sublist 0;
  drop = n: xs: lib.sublist n (length xs) xs;
  last = xs: elemAt xs (length xs - 1);
  init = xs: lib.take (length xs - 1) xs;
  hasListPrefix = prefix: xs: lib.take (length prefix) xs == prefix;
  subtractLists = gone: filter (x: !(elem x gone));
  intersectLists = kept: filter (x: elem x kept);
  mutuallyExclusive = a: b: lib.intersectLists a b == [ ];
  findFirst =
    p: default: xs:
    let
      found = filter p xs;
    in
    if found == [ ] then default else builtins.head found;
  zipListsWith =
    f: a: b:
    genList (i: f (elemAt a i) (elemAt b i)) (lib.min (length a) (length b));
  zipLists = lib.zipListsWith (fst: snd: { inherit fst snd; });
  sortOn = f: sort (a: b: f a < f b);
  naturalSort = sort (a: b: builtins.compareVersions a b < 0);
}
