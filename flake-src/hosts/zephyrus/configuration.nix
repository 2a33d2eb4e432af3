# zephyrus: the fast laptop. Performance first, within what its cooling takes.
{
  imports = [ ./hardware-configuration.nix ];

  pantherOS = {
    base = {
      # Alder Lake's two kinds of cores and the machine's own drivers are
      # better served by newer kernels.
      boot-loader.kernel = "latest";
      swap-memory.file.size = 16 * 1024;
    };

    hardware.gpu = {
      intel.enable = true;
      nvidia = {
        enable = true;
        prime = "offload";
      };
    };
  };

  # Fan curves, keyboard lights, charge limit, and the MUX switch.
  services.asusd.enable = true;
  services.supergfxd.enable = true;
}
