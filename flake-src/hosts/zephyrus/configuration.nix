# zephyrus: the fast laptop. Performance first, within what its cooling takes.
{ lib, ... }:
{
  imports = [ ./hardware-configuration.nix ];

  pantherOS = {
    base = {
      # Alder Lake's two kinds of cores and the machine's own drivers are
      # better served by newer kernels.
      boot-loader.kernel = "latest";
      swap-memory = {
        file.size = 16 * 1024;
        # DDR5: one half soldered, one half a module, so both channels are in
        # use only while the module is there.
        channels = 2;
        errorLog = true;
        # Games and compilers have large heaps.
        hugePages = "always";
      };
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
        thermal = {
          fanControl = "asus";
          keyboardColor = "ff6600";
          # Earlier and steeper than the firmware's, which waits for 80 degrees
          # and then has to slow the chips down: louder, and faster for longer.
          fanCurves.performance =
            let
              curve = map (p: {
                at = lib.elemAt p 0;
                speed = lib.elemAt p 1;
              }) [
                [ 40 20 ]
                [ 50 30 ]
                [ 60 45 ]
                [ 68 60 ]
                [ 75 75 ]
                [ 82 88 ]
                [ 88 100 ]
                [ 95 100 ]
              ];
            in
            {
              cpu = curve;
              gpu = curve;
            };
        };
      };
    };
  };

  pantherOS.services.monitoring.datadog.enable = true;

  # The MUX switch.
  services.supergfxd.enable = true;
}
