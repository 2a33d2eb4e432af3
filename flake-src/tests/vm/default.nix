# Tests in virtual machines: legacyPackages.<system>.vmTests.<name>. They boot
# real NixOS, so they take KVM and packages: `nix build` them where there are
# both. Each file is a function to a NixOS test.
{
  pkgs,
  lib,
  inputs,
  inventory,
  modules,
}:
lib.mapAttrs' (
  file: _:
  lib.nameValuePair (lib.removeSuffix ".nix" file) (
    pkgs.testers.runNixOSTest {
      imports = [ (./. + "/${file}") ];
      # Our modules choose which unfree packages are allowed.
      node.pkgsReadOnly = false;
      node.specialArgs = {
        inherit inputs;
        # What comes from an input is for the hosts.
        features = lib.mapAttrs (_: _: false) inventory.features;
        host = {
          name = "server";
          features = [ ];
          profiles = [ ];
          users = [ "hayden" ];
        };
      };
      defaults = {
        imports = modules;
        nixpkgs.hostPlatform = pkgs.stdenv.hostPlatform.system;
      };
    }
  )
) (lib.filterAttrs (file: _: file != "default.nix") (builtins.readDir ./.))
