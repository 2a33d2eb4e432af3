# The stand-in for nixpkgs: given to Nix with --override-input, it lets every
# host of this flake evaluate, build and be cached without a network.
#
# It is not NixOS. lib/ evaluates modules as NixOS does, nixos/ knows a small
# part of NixOS's options, pkgs/ has packages that are real derivations with
# real files and references and that do nothing when they are run. A toplevel
# built from it has a real one's layout and must never be switched to, which
# it refuses.
{
  description = "Stand-in for nixpkgs, for tests without a network";

  outputs =
    _:
    let
      base = import ./lib;
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      lib = base // {
        nixosSystem = import ./nixos { lib = base; };
      };
    in
    {
      inherit lib;
      legacyPackages = base.genAttrs systems (
        system:
        import ./pkgs {
          inherit system;
          lib = base;
        }
      );
    };
}
