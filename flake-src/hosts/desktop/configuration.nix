# desktop: the workstation for development, with room and power.
{
  imports = [ ./hardware-configuration.nix ];

  pantherOS = {
    base.swap-memory.file.size = 16 * 1024;

    hardware.gpu.amd = {
      enable = true;
      opencl = true;
      performanceLevel = "high";
    };

    desktop = {
      display.multi-monitor = {
        enable = true;
        order = [
          "DP-1"
          "DP-2"
        ];
      };
      compositor = {
        # Three windows side by side on the ultrawide screen.
        window-management.columnWidth = "0.33333";
        workspace-management.named = [
          {
            name = "main";
            output = "DP-1";
          }
          {
            name = "side";
            output = "DP-2";
          }
        ];
      };
    };
  };

  pantherOS.apps.development.ide.jetbrains = [ "goland" ];

  # It hangs on the mains: the clock goes up at once when there is work.
  powerManagement.cpuFreqGovernor = "performance";
}
