# What the files of profiles/, hosts/ and home/ promise is there on a host and
# gone from the same host without the file. (Those of modules/: unit/modules.nix.)
{ standIn, hosts }:
let
  inherit (standIn) lib inventory;
  promises = import ../promises;
  inherit (promises) composed rest;
  rows = import ../rows.nix;
  root = ../..;

  # The first host that has the profile or, for homes, the first of all.
  hostOf =
    file: promise:
    promise.host or (lib.head (
      lib.filter (
        name:
        !(lib.hasPrefix "profiles/" file)
        || lib.elem (lib.removePrefix "profiles/" (lib.removeSuffix ".nix" file))
          inventory.hosts.${name}.profiles
      ) (lib.attrNames inventory.hosts)
    ));
  ofHome = file: lib.hasPrefix "home/" file || lib.hasSuffix "/home.nix" file;
  without =
    file: nixos:
    let
      leaveOut.disabledModules = [ (root + "/${file}") ];
    in
    nixos.extendModules {
      modules = [ (if ofHome file then { home-manager.users.hayden = leaveOut; } else leaveOut) ];
    };

  # Every file there is, folders with a default.nix by their name.
  files = map (file: lib.removeSuffix "/default.nix" (lib.removePrefix "${toString root}/" (toString file))) (
    lib.concatMap (folder: lib.filesystem.listFilesRecursive (root + "/${folder}")) [
      "home"
      "hosts"
      "profiles"
    ]
  );
in
{
  everyFilePromises = {
    expr = lib.sort lib.lessThan files;
    expected = lib.attrNames composed;
  };
  everyPromisedFileExists = {
    expr = lib.filter (file: !(builtins.pathExists (root + "/${file}"))) (
      lib.attrNames (promises.modules // composed // rest.files) ++ map (s: s.file) rest.samples
    );
    expected = [ ];
  };
  # An option of ours that the index names exists.
  everyNamedOptionExists = {
    expr = lib.filter (
      option:
      !(lib.any (
        nixos: lib.hasAttrByPath (lib.splitString "." option) nixos.options.pantherOS
      ) (lib.attrValues hosts))
    ) (
      lib.concatMap (
        text:
        lib.concatMap (m: if builtins.isList m then [ (lib.head m) ] else [ ]) (
          builtins.split "pantherOS\\.([a-z0-9-]+(\\.[a-zA-Z0-9-]+)*)" text
        )
      ) (map (s: s.here) rest.samples)
    );
    expected = [ ];
  };
}
// lib.mapAttrs (
  file: promise:
  let
    nixos = hosts.${hostOf file promise};
    holding = nixos: map (row: row.option) (lib.filter (rows.holds lib nixos.config) promise.facts);
  in
  {
    expr = {
      withIt = holding nixos;
      without = holding (without file nixos);
    };
    expected = {
      withIt = map (row: row.option) promise.facts;
      without = [ ];
    };
  }
) composed
