# What profiles compose to: every profile does something on a host that has it,
# a host may override each of its defaults, and servers stay free of desktops.
{ standIn, hosts }:
let
  inherit (standIn) lib inventory;
  drv = nixos: nixos.config.system.build.toplevel.drvPath;
  used = lib.unique (lib.concatMap (host: host.profiles) (lib.attrValues inventory.hosts));
  files = lib.concatMap (
    folder:
    map (file: "${folder}/${lib.removeSuffix ".nix" file}") (
      lib.attrNames (builtins.readDir (../../profiles + "/${folder}"))
    )
  ) (lib.attrNames (builtins.readDir ../../profiles));
  pick = option: lib.mapAttrs (_: nixos: lib.getAttrFromPath (lib.splitString "." option) nixos.config) hosts;
  workstations = value: other: lib.mapAttrs (host: _: if host == "ovh-cloud-vps" then other else value) hosts;
  server = hosts.ovh-cloud-vps;
in
{
  everyProfileIsUsed = {
    expr = lib.subtractLists used files;
    expected = [ ];
  };
  desktopsOnWorkstations = {
    expr = pick "pantherOS.desktop.compositor.niri.enable";
    expected = workstations true false;
  };
  sshOnServers = {
    expr = pick "services.openssh.enable";
    expected = workstations false true;
  };
  encryptedDisksOnWorkstations = {
    expr = pick "pantherOS.base.file-systems.encrypt";
    expected = workstations true false;
  };
  hardenedEverywhere = {
    expr = pick "pantherOS.security.hardening.kernel.enable";
    expected = workstations true true;
  };
  # niri refuses a configuration with a key twice; with other properties it is
  # another name here.
  keysOfNiriOnce = {
    expr = lib.mapAttrs (
      _: nixos:
      let
        keys = map (key: lib.head (lib.splitString " " key)) (
          lib.attrNames nixos.config.pantherOS.desktop.compositor.niri.binds
        );
      in
      lib.filter (key: lib.count (k: k == key) keys > 1) keys
    ) hosts;
    expected = lib.mapAttrs (_: _: [ ]) hosts;
  };
  # A profile's word is a default: a host's plain definition wins.
  hostsOverride = {
    expr =
      (server.extendModules {
        modules = [ { pantherOS.services.databases.redis.enable = false; } ];
      }).config.pantherOS.services.databases.redis.enable;
    expected = false;
  };
  overridingChangesTheSystem = {
    expr =
      drv (server.extendModules {
        modules = [ { pantherOS.services.databases.redis.enable = false; } ];
      }) != drv server;
    expected = true;
  };
}
