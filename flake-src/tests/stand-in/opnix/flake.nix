# The stand-in for OpNix: the options of its NixOS module that this flake sets,
# and a unit that would fetch the secrets. It fetches nothing.
{
  description = "Stand-in for OpNix, for tests without a network";

  # Declared so that `follows` has something to follow.
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-25.05";

  outputs = _: {
    nixosModules.default = ./module.nix;
  };
}
