# The stand-in for niri-flake: its NixOS module's two switches, with the
# stand-in niri of the package set.
{
  description = "Stand-in for niri-flake, for tests without a network";

  # Declared so that `follows` has something to follow.
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-25.05";

  outputs = _: {
    nixosModules.niri = ./module.nix;
  };
}
