# desktop: the workstation for development, with room and power.
{
  imports = [ ./hardware-configuration.nix ];

  pantherOS = {
    base.swap-memory.file.size = 16 * 1024;

    hardware.gpu.amd = {
      enable = true;
      opencl = true;
    };
  };

  # It hangs on the mains: the clock goes up at once when there is work.
  powerManagement.cpuFreqGovernor = "performance";
}
