# No dead option and none in two places: the last part of each option's name is
# read in the module that declares it or, as `pantherOS.<its place>`, elsewhere.
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
in
{
  everyOptionIsRead = {
    expr = map (lib.concatStringsSep ".") (lib.filter (loc: !(used loc)) (leaves [ ] options));
    expected = [ ];
  };
}
