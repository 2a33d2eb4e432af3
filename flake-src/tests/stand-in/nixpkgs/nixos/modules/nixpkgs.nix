# The package set of the system, and what a broken promise or a warning does.
{
  config,
  lib,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.nixpkgs;
in
{
  options = {
    nixpkgs = {
      hostPlatform = mkOption {
        type = types.either types.str types.attrs;
        apply = p: if builtins.isString p then { system = p; } else p;
        description = "The system that the packages are for.";
      };
      config = mkOption {
        type = types.attrs;
        default = { };
        description = "The configuration of nixpkgs: here, which unfree packages are allowed.";
      };
      overlays = mkOption {
        type = types.listOf types.raw;
        default = [ ];
        description = "Overlays of the package set.";
      };
    };
    assertions = mkOption {
      type = types.listOf types.attrs;
      default = [ ];
      description = "What must be true for the system to be built: [ { assertion; message; } ].";
    };
    warnings = mkOption {
      type = types.listOf types.str;
      default = [ ];
      description = "What is said when the system is evaluated.";
    };
  };

  config._module.args.pkgs = import ../../pkgs {
    inherit lib;
    inherit (cfg.hostPlatform) system;
    inherit (cfg) config overlays;
  };
}
