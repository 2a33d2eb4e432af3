# The flake's own library: from hosts.toml to systems.
{ inputs }:
let
  inherit (inputs.nixpkgs) lib;
  inventory = import ./inventory.nix;
in
rec {
  inherit inventory;

  # Every module of modules/, in the order of their names. All are imported
  # into every host; each is inert until its option `enable` is set.
  modules = lib.filter (file: lib.hasSuffix ".nix" (toString file)) (
    lib.filesystem.listFilesRecursive ../modules
  );

  # mkSystem host: the NixOS system of a host of the inventory.
  mkSystem = import ./mkSystem.nix {
    inherit
      inputs
      lib
      inventory
      modules
      mkHome
      ;
  };

  # mkHome { host; user; }: the Home Manager module of that user there.
  mkHome = import ./mkHome.nix { inherit lib; };

  # validate system: what `panther check` looks at, as plain data.
  validate = import ./validation.nix { inherit lib; };
}
