# The flake's outputs. What there is of each kind follows from hosts.toml
# alone; flake.nix, which Nix wants literal, holds only the inputs.
inputs:
let
  inherit (inputs.nixpkgs) lib;
  own = import ./. { inherit inputs; };

  nixosConfigurations = lib.mapAttrs (_: own.mkSystem) own.inventory.hosts;

  systems = lib.unique (lib.mapAttrsToList (_: host: host.system) own.inventory.hosts);
  forEachSystem = f: lib.genAttrs systems (system: f inputs.nixpkgs.legacyPackages.${system});
  systemOf = nixos: nixos.pkgs.stdenv.hostPlatform.system;
in
{
  inherit nixosConfigurations;

  # Each host's toplevel, derived from the configurations themselves, so that
  # no list can forget a host.
  checks = forEachSystem (
    pkgs:
    lib.mapAttrs' (
      name: nixos: lib.nameValuePair "host-${name}" nixos.config.system.build.toplevel
    ) (lib.filterAttrs (_: nixos: systemOf nixos == pkgs.stdenv.hostPlatform.system) nixosConfigurations)
  );

  # The suites of tests/, built by `make test`. They evaluate hundreds of
  # small systems, for which a nightly `nix flake check` should not wait.
  legacyPackages = forEachSystem (pkgs: {
    tests = import ../tests {
      inherit pkgs;
      hosts = nixosConfigurations;
    };
    vmTests = import ../tests/vm {
      inherit pkgs lib inputs;
      inherit (own) inventory modules;
    };
    # What `make cis` writes to docs/cis.md.
    cis = import ../lib/cis-document.nix { inherit lib; } (
      lib.mapAttrs (_: nixos: (own.validate nixos).cis) nixosConfigurations
    );
    # What `make hosts-doc` writes to docs/hosts.md.
    hosts = import ../tests/hosts-document.nix { inherit lib; };
    # What `make brief-doc` writes to docs/brief.md.
    brief = import ../tests/brief-document.nix { inherit lib; };
    # What TestRealPromises looks at.
    promises = import ../tests/promises/on-hosts.nix {
      inherit lib;
      hosts = nixosConfigurations;
    };
    # What TestFlakeScripts runs.
    scripts = import ../tests/scripts.nix {
      inherit lib;
      hosts = nixosConfigurations;
    };
    # What TestRealFiles looks at.
    rendered = lib.mapAttrs (_: nixos: {
      toplevel = builtins.unsafeDiscardStringContext nixos.config.system.build.toplevel.drvPath;
      units = import ../tests/units.nix { inherit lib; } nixos;
    }) nixosConfigurations;
    # What `make options` writes to tests/stand-in.
    options = import ../tests/options {
      inherit inputs;
      inherit (own) inventory;
    };
  });

  # pcache, where the flake sees the repository around it, see pcache.nix.
  packages = forEachSystem (
    pkgs:
    let
      pcache = import ./pcache.nix { inherit inputs pkgs; };
    in
    lib.optionalAttrs (pcache != null) { inherit pcache; }
  );

  formatter = forEachSystem (pkgs: pkgs.nixfmt-tree);

  lib = {
    inherit (own)
      inventory
      mkHome
      mkSystem
      validate
      ;
    # nix eval --json .#lib.validation.<host>
    validation = lib.mapAttrs (_: own.validate) nixosConfigurations;
  };
}
