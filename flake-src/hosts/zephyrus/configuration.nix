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

    hardware = {
      gpu = {
        intel.enable = true;
        nvidia = {
          enable = true;
          prime = "offload";
          cuda = true;
          # 120 W for the GPU, as long as the processor leaves it room.
          dynamicBoost = true;
        };
      };

      laptop = {
        battery.onMains = "performance";
        # Fan curves, keyboard lights, charge limit.
        thermal.fanControl = "asus";
      };
    };
  };

  pantherOS.services.monitoring.datadog.enable = true;

  # The MUX switch.
  services.supergfxd.enable = true;
}
