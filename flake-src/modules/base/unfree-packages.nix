# The unfree packages that are allowed, by name. nixpkgs takes one predicate
# for all of them, so the names of all modules are gathered here.
{ config, lib, ... }:
{
  options.pantherOS.base.unfree-packages = lib.mkOption {
    type = lib.types.listOf lib.types.str;
    default = [ ];
    example = [ "1password-cli" ];
    description = "Names of unfree packages that may be installed; the modules that need one add it.";
  };

  config.nixpkgs.config = lib.mkIf (config.pantherOS.base.unfree-packages != [ ]) {
    allowUnfreePredicate =
      package: lib.elem (lib.getName package) config.pantherOS.base.unfree-packages;
  };
}
