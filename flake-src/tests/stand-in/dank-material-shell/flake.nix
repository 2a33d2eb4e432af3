# The stand-in for DankMaterialShell: the options of its NixOS module that this
# flake sets, with the stand-in packages.
{
  description = "Stand-in for DankMaterialShell, for tests without a network";

  # Declared so that `follows` has something to follow.
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-25.05";

  outputs = _: {
    nixosModules.default = ./module.nix;
  };
}
