# For tests: the stand-ins as values, without a flake around them.
let
  lib = import ./stand-in/nixpkgs/lib;
  nixosSystem = import ./stand-in/nixpkgs/nixos { inherit lib; };
  input = name: (import (./stand-in + "/${name}/flake.nix")).outputs { };
  inventory = import ../lib/inventory.nix;

  # The least that a system needs to be complete.
  bootable = {
    nixpkgs.hostPlatform = "x86_64-linux";
    system.stateVersion = "25.05";
    boot.loader.grub.device = lib.mkDefault "/dev/vda";
    fileSystems."/" = {
      device = lib.mkDefault "/dev/vda1";
      fsType = lib.mkDefault "ext4";
    };
  };
in
{
  inherit lib inventory;

  # All modules of the flake, as lib/default.nix finds them.
  modules = lib.filter (file: lib.hasSuffix ".nix" (toString file)) (
    lib.filesystem.listFilesRecursive ../modules
  );

  # system { features; modules; }: a machine called test with those features.
  system =
    {
      features ? [ ],
      modules,
    }:
    nixosSystem {
      specialArgs = {
        features = lib.mapAttrs (name: _: lib.elem name features) inventory.features;
        host = {
          name = "test";
          inherit features;
          users = [ ];
        };
        inputs = lib.genAttrs features input // {
          # A flake whose folder is the whole source, as path: gives it.
          self = {
            outPath = toString ../.;
            sourceInfo.outPath = toString ../.;
          };
        };
      };
      modules = [
        bootable
      ]
      ++ modules
      ++ lib.concatMap (
        name:
        map (attribute: lib.getAttrFromPath (lib.splitString "." attribute) (input name))
          inventory.features.${name}.modules
      ) features;
    };

  # Whether evaluating a value throws.
  fails = value: !(builtins.tryEval (builtins.deepSeq value null)).success;
}
