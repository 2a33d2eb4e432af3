# No dead option and none without words: the last part of each option's name is
# read in the module that declares it or, as `pantherOS.<its place>`, elsewhere; it
# says what it is and, where its type does not, how a value looks.
{ standIn, ... }:
let
  inherit (standIn) lib;
  sources = map (file: {
    path = toString file;
    text = builtins.readFile file;
  }) (standIn.modules ++ lib.filesystem.listFilesRecursive ../../profiles);
  root = toString ../../modules + "/";
  options = (standIn.system {
    features = lib.attrNames standIn.inventory.features;
    inherit (standIn) modules;
  }).options.pantherOS;

  leaves =
    prefix: tree:
    lib.concatLists (
      lib.mapAttrsToList (
        name: node:
        if lib.isOption node then [ (prefix ++ [ name ]) ] else leaves (prefix ++ [ name ]) node
      ) tree
    );
  # The file of modules/ whose path is the longest beginning of the option's.
  fileOf =
    loc:
    lib.findFirst (source: source != null) null (
      map (
        n:
        let
          base = root + lib.concatStringsSep "/" (lib.take n loc);
        in
        lib.findFirst (s: s.path == "${base}.nix" || s.path == "${base}/default.nix") null sources
      ) (lib.reverseList (lib.range 1 (lib.length loc)))
    );
  times = word: text: lib.length (lib.splitString word text) - 1;
  used =
    loc:
    let
      name = lib.last loc;
      own = fileOf loc;
    in
    # Once where it is declared, once more where it is read.
    (own != null && times name own.text > 1)
    || lib.any (s: lib.hasInfix "pantherOS.${lib.concatStringsSep "." loc}" s.text) sources;
  at = loc: lib.getAttrFromPath loc options;
  title = lib.concatStringsSep ".";
  set = lib.filter (loc: !((at loc).internal or false || (at loc).readOnly or false)) (leaves [ ] options);
in
{
  everyOptionHasADescription = {
    expr = map title (lib.filter (loc: (at loc).description or "" == "") (leaves [ ] options));
    expected = [ ];
  };
  everyOptionHasAnExample = {
    # true, false and the words of an enum are in the type; a package's default
    # shows what one is.
    expr = map title (
      lib.filter (
        loc:
        !(
          (at loc) ? example
          || lib.elem (at loc).type.name [
            "bool"
            "enum"
            "package"
          ]
        )
      ) set
    );
    expected = [ ];
  };
  everyExampleIsOfItsType = {
    expr = map title (
      lib.filter (
        loc:
        let
          option = at loc;
        in
        option ? example && !(option.example ? _type) && !(option.type.check option.example)
      ) set
    );
    expected = [ ];
  };
  everyOptionIsRead = {
    expr = map (lib.concatStringsSep ".") (lib.filter (loc: !(used loc)) (leaves [ ] options));
    expected = [ ];
  };
}
