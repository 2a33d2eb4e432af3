# The promises of modules/ on the hosts themselves, for `make test-real`: each
# module on the first host that has it on, or on the first of all with what it
# needs, and the same host with it off. { FOLDER = { FILE = { host; withIt;
# without; }; }; }, where the last two are the rows that hold.
{ lib, hosts }:
let
  inherit (import ./.) modules;
  rows = import ../rows.nix;

  # modules/apps/media -> [ "apps" "media" ]
  pathOf = file: lib.drop 1 (lib.splitString "/" (lib.removeSuffix ".nix" file));
  isOn =
    file: promise: nixos:
    if promise ? on then
      rows.holds lib nixos.config (lib.head promise.facts)
    else
      lib.getAttrFromPath (pathOf file ++ [ "enable" ]) nixos.config.pantherOS;
  set =
    nixos: settings:
    nixos.extendModules { modules = [ { pantherOS = settings; } ]; };
  off =
    file: promise:
    if promise ? off then
      lib.mapAttrsRecursive (_: lib.mkForce) promise.off
    else
      lib.setAttrByPath (pathOf file ++ [ "enable" ]) (lib.mkForce false);

  look =
    file: promise:
    let
      having = lib.filter (name: isOn file promise hosts.${name}) (lib.attrNames hosts);
      host = lib.head (having ++ lib.attrNames hosts);
      on =
        if having != [ ] then
          hosts.${host}
        else
          set hosts.${host} (
            lib.recursiveUpdate (promise.also or { }) (lib.setAttrByPath (pathOf file ++ [ "enable" ]) true)
          );
      holding =
        nixos:
        map (row: "${row.option} ${rows.show row}") (
          lib.filter (rows.holds lib nixos.config) (promise.facts ++ promise.onHosts or [ ])
        );
    in
    {
      inherit host;
      withIt = holding on;
      without = holding (set on (off file promise));
    };
in
lib.mapAttrs (_: files: lib.genAttrs files (file: look file modules.${file})) (
  lib.groupBy (file: lib.head (pathOf file)) (lib.attrNames modules)
)
