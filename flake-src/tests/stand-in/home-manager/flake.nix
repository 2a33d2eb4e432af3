# The stand-in for Home Manager: evaluates each user's modules and makes a
# generation (packages, files, activation script) in the layout of a real one.
# An option that it does not declare is accepted and written down.
{
  description = "Stand-in for Home Manager, for tests without a network";

  # Declared so that `follows` has something to follow.
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-25.05";

  outputs = _: {
    nixosModules.home-manager = ./nixos.nix;
  };
}
