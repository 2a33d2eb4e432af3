# lib.nixosSystem of the stand-in: the flake's modules together with those in
# modules/, which declare and render the part of NixOS that this flake rests
# on. Any other option outside pantherOS.* is accepted as it is (nothing here
# can know whether NixOS has it) and written to /etc/stand-in/settings.json;
# below pantherOS.* an option that does not exist is an error.
{ lib }:
let
  nixosLib = lib;
in
{
  modules,
  specialArgs ? { },
  lib ? nixosLib,
  system ? null,
  ...
}:
let
  evaluation = lib.evalModules {
    modules =
      lib.filesystem.listFilesRecursive ./modules
      ++ lib.optional (system != null) { nixpkgs.hostPlatform = lib.mkDefault system; }
      ++ modules;
    specialArgs = {
      inherit lib;
      modulesPath = toString ./modules;
    }
    // specialArgs;
    modulesPath = toString ./modules;
    open = loc: builtins.head loc != "pantherOS";
  };
in
evaluation
// {
  inherit lib;
  pkgs = evaluation._module.args.pkgs;
}
