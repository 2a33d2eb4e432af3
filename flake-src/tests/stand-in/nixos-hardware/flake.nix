# The stand-in for nixos-hardware: the modules that this flake's hosts pick,
# under their names, each with what it comes down to.
{
  description = "Stand-in for nixos-hardware, for tests without a network";

  outputs =
    _:
    let
      microcode = vendor: { config, lib, ... }: {
        hardware.cpu.${vendor}.updateMicrocode =
          lib.mkDefault config.hardware.enableRedistributableFirmware;
      };
    in
    {
      # Messages, and tests, tell its definitions from those of who imports it.
      nixosModules = builtins.mapAttrs (name: module: {
        _file = "nixos-hardware/${name}";
        imports = [ module ];
      }) {
        common-cpu-intel-cpu-only = microcode "intel";
        common-cpu-amd = microcode "amd";
        common-cpu-amd-pstate = {
          imports = [ (microcode "amd") ];
          boot.kernelParams = [ "amd_pstate=active" ];
        };
        common-pc-laptop =
          { config, lib, ... }:
          {
            services.tlp.enable = lib.mkDefault (!config.services.power-profiles-daemon.enable);
          };
        common-pc-ssd =
          { lib, ... }:
          {
            services.fstrim.enable = lib.mkDefault true;
          };
      };
    };
}
