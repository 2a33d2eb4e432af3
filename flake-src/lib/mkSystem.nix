# mkSystem host: a host of the inventory as a NixOS system.
#
# It is made of all of modules/, the host's profiles, its own folder, and for
# each of its features the modules of that input. Every module also gets as
# arguments
#   host      the host's entry in the inventory
#   features  <name> -> whether the host has that feature. An option that
#             comes from an input exists only on hosts that have it, and
#             defining an option that does not exist is an error even under
#             mkIf: whoever defines one asks here first (optionalAttrs).
#   inputs    the flake's inputs
{
  inputs,
  lib,
  inventory,
  modules,
  mkHome,
}:
host:
let
  features = lib.mapAttrs (name: _: lib.elem name host.features) inventory.features;
  specialArgs = { inherit features host inputs; };

  profile =
    name:
    let
      file = ../profiles + "/${name}.nix";
    in
    if builtins.pathExists file then
      file
    else
      throw "hosts.toml: host ${host.name} uses the profile ${name}, but there is no profiles/${name}.nix";

  featureModules = lib.concatMap (
    name:
    let
      input =
        inputs.${name}
          or (throw "flake.nix has no input ${name}, which the host ${host.name} needs: run `panther generate`");
    in
    map (
      attribute:
      lib.attrByPath (lib.splitString "." attribute)
        (throw "hosts.toml: the input ${name} has no ${attribute}, see modules in [features.${name}]")
        input
    ) inventory.features.${name}.modules
  ) host.features;

  facts = {
    _file = "hosts.toml";
    networking.hostName = host.name;
    nixpkgs.hostPlatform = host.system;
    system.stateVersion = host.stateVersion;
    pantherOS.base.users-groups.users = lib.genAttrs host.users (_: { });
  };

  homes = {
    _file = "lib/mkSystem.nix";
    home-manager = {
      useGlobalPkgs = true;
      useUserPackages = true;
      # A file that is in the way is moved, rather than the switch refused.
      backupFileExtension = "before-home-manager";
      extraSpecialArgs = specialArgs;
      users = lib.genAttrs host.users (user: mkHome { inherit host user; });
    };
  };
in
inputs.nixpkgs.lib.nixosSystem {
  inherit specialArgs;
  modules =
    modules
    ++ map profile host.profiles
    ++ featureModules
    ++ [
      facts
      (../hosts + "/${host.name}/configuration.nix")
    ]
    ++ lib.optional features.home-manager homes;
}
