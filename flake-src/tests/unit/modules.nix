# What holds for each file of modules/: its options are where its path says,
# it does nothing until it is switched on and something then, and it says so
# when it is switched on without the feature that it needs.
{ standIn }:
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
  # What a module must be told besides being switched on.
  also = {
    "base.file-systems".base = {
      boot-loader.enable = true;
      file-systems.systemDisk = "/dev/vda";
    };
    "base.users-groups".base.users-groups = {
      users.somebody = { };
      admins = [ "somebody" ];
    };
    "desktop.theming.dankmaterialshell".desktop.compositor.niri.enable = true;
  };
  on =
    path:
    lib.recursiveUpdate (lib.setAttrByPath path { enable = true; }) (also.${title path} or { });
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
  switches = lib.filter (path: (lib.getAttrFromPath path options) ? enable) paths;

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
    lib.nameValuePair "on: ${title path}" {
      expr = toplevel (with' allFeatures (on path)) != bare;
      expected = true;
    }
  ) switches
)
// lib.mapAttrs' (
  module: feature:
  lib.nameValuePair "without ${feature}: ${module}" {
    expr = fails (toplevel (with' (lib.remove feature allFeatures) (on (lib.splitString "." module))));
    expected = true;
  }
) needs
