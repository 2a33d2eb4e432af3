# What holds for each file of modules/: its options are where its path says, it
# does nothing until it is switched on, what its line of the brief promises is
# there then and gone when it is off, and it says so when it is switched on
# without the feature that it needs.
{ standIn, ... }:
let
  inherit (standIn) lib inventory fails;

  # modules/base/time-locale.nix -> [ "base" "time-locale" ]; a folder with a
  # default.nix is a module by the folder's name.
  root = toString ../../modules + "/";
  pathOf =
    file:
    lib.splitString "/" (
      lib.removeSuffix "/default" (lib.removeSuffix ".nix" (lib.removePrefix root (toString file)))
    );
  paths = map pathOf standIn.modules;
  title = lib.concatStringsSep ".";

  toplevel = system: system.config.system.build.toplevel.drvPath;
  allFeatures = lib.attrNames inventory.features;
  promises = (import ../promises).modules;
  fileOf = path: "modules/" + lib.concatStringsSep "/" path;
  promise = path: promises.${fileOf path + ".nix"} or promises.${fileOf path} or { };
  rows = import ../rows.nix;

  # What else must be set for a module to make sense, and the module on or off.
  switch =
    path: enable:
    let
      p = promise path;
    in
    lib.recursiveUpdate (p.also or { }) (
      if p ? on then if enable then p.on else p.off else lib.setAttrByPath path { inherit enable; }
    );
  on = path: switch path true;
  with' =
    features: settings:
    standIn.system {
      inherit features;
      modules = standIn.modules ++ [ { pantherOS = settings; } ];
    };
  bare = toplevel (standIn.system {
    features = allFeatures;
    modules = [ ];
  });

  none = with' allFeatures { };
  options = none.options.pantherOS;
  # Option sets that belong to no file.
  declared =
    prefix: tree:
    lib.concatLists (
      lib.mapAttrsToList (
        name: node:
        let
          here = prefix ++ [ name ];
        in
        if lib.elem here paths then
          [ ]
        else if lib.isOption node then
          [ (title here) ]
        else
          declared here node
      ) tree
    );

  needs = {
    "base.file-systems" = "disko";
    "desktop.compositor.niri" = "niri";
    "desktop.theming.dankmaterialshell" = "dank-material-shell";
    "security.secrets.opnix" = "opnix";
    "services.backup" = "opnix";
    "services.monitoring.datadog" = "opnix";
  };
in
{
  everyModuleHasItsOptions = {
    expr = lib.filter (path: !(lib.hasAttrByPath path options)) paths;
    expected = [ ];
  };
  everyOptionHasItsModule = {
    expr = declared [ ] options;
    expected = [ ];
  };
  nothingIsOnByItself = {
    expr = toplevel none;
    expected = bare;
  };
}
// lib.listToAttrs (
  map (
    path:
    lib.nameValuePair "promise: ${title path}" {
      expr =
        let
          facts = (promise path).facts or [ ];
          holding =
            enable:
            let
              system = with' allFeatures (switch path enable);
            in
            # With it the whole system must evaluate, options that do not exist
            # and assertions included.
            builtins.seq (if enable then toplevel system else null) (
              map (row: row.option) (lib.filter (rows.holds lib system.config) facts)
            );
        in
        {
          withIt = holding true;
          without = holding false;
        };
      expected = {
        withIt = map (row: row.option) ((promise path).facts or [ { option = "facts in tests/promises"; } ]);
        without = [ ];
      };
    }
  ) paths
)
// lib.mapAttrs' (
  module: feature:
  lib.nameValuePair "without ${feature}: ${module}" {
    expr = fails (toplevel (with' (lib.remove feature allFeatures) (on (lib.splitString "." module))));
    expected = true;
  }
) needs
