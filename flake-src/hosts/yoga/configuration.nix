# yoga: the convertible. Battery life first; the NVIDIA GPU sleeps until asked.
{
  imports = [ ./hardware-configuration.nix ];

  pantherOS = {
    # The memory, so that it can be emptied under pressure.
    base.swap-memory.file.size = 16 * 1024;

    hardware = {
      gpu = {
        intel.enable = true;
        nvidia = {
          enable = true;
          prime = "offload";
          # The MX450 is of the first generation that the open modules support;
          # switching it off at run time works better with the closed ones.
          open = false;
        };
      };

      laptop = {
        # Above its nominal clock the processor takes several times the power.
        battery.turboOnBattery = false;
        # Folded back it is a tablet: the picture turns, a keyboard appears,
        # fingers and pen draw where they touch.
        display = {
          autoRotate = true;
          tabletMode = true;
          touch = true;
          notes = true;
        };
      };
    };
  };

  # Fingerprint reader, for login and sudo.
  services.fprintd.enable = true;
}
