# The options that nixpkgs and each feature of hosts.toml declare, by input: what
# `make options` writes from a real tree to tests/stand-in/<input>/options.json.
# What a feature replaces in nixpkgs, as niri's does, is nixpkgs'.
{ inputs, inventory }:
let
  inherit (inputs.nixpkgs) lib;
  extract = import ./extract.nix { inherit lib; };
  system = "x86_64-linux";

  declaredBy =
    modules:
    removeAttrs
      (extract
        (lib.nixosSystem {
          modules = modules ++ [ { nixpkgs.hostPlatform = system; } ];
        }).options
      )
      [ "_module" ];
  nixpkgs = declaredBy [ ];

  # What is in a and not in b.
  without =
    a: b:
    lib.filterAttrs (_: v: v != { }) (
      lib.mapAttrs (
        name: node:
        if !(b ? ${name}) then
          node
        else if lib.isAttrs node && lib.isAttrs b.${name} then
          without node b.${name}
        else
          { }
      ) a
    );

  features = lib.mapAttrs (
    name: feature:
    without (declaredBy (
      map (
        attribute: lib.getAttrFromPath (lib.splitString "." attribute) inputs.${name}
      ) feature.modules
    )) nixpkgs
  ) (lib.filterAttrs (name: feature: inputs ? ${name} && feature.modules != [ ]) inventory.features);

  # Home Manager's module in NixOS does not say what a user's options are.
  user =
    removeAttrs
      (extract
        (inputs.home-manager.lib.homeManagerConfiguration {
          pkgs = inputs.nixpkgs.legacyPackages.${system};
          modules = [
            {
              home = {
                username = "nobody";
                homeDirectory = "/home/nobody";
                stateVersion = inventory.fleet.release;
              };
            }
          ];
        }).options
      )
      [ "_module" ];
in
{
  inherit nixpkgs;
  release.nixpkgs = lib.trivial.release;
}
// features
// lib.optionalAttrs (features ? home-manager) {
  home-manager = lib.recursiveUpdate features.home-manager {
    home-manager.users = [
      "attrsOf"
      [
        "submodule"
        user
      ]
    ];
  };
}
