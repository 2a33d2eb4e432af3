# The stand-in for disko: the same declarations of disks, and the mounts that
# follow from them. It formats nothing.
{
  description = "Stand-in for disko, for tests without a network";

  # Declared so that `follows` has something to follow.
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-25.05";

  outputs = _: {
    nixosModules.disko = ./module.nix;
  };
}
