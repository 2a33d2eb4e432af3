# GNOME Files: also what the portal shows when a program asks for a file.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.pantherOS.desktop.applications.file-manager;
in
{
  options.pantherOS.desktop.applications.file-manager = {
    enable = lib.mkEnableOption "GNOME Files";

    previews = lib.mkOption {
      type = lib.types.bool;
      default = true;
      description = "Whether the space bar shows what is in a file.";
    };

    archives = lib.mkOption {
      type = lib.types.bool;
      default = true;
      description = "Whether archives open in a window of their own.";
    };
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ pkgs.nautilus ] ++ lib.optional cfg.archives pkgs.file-roller;

    # Wastebasket, network folders, phones.
    services.gvfs.enable = true;
    services.gnome.sushi.enable = cfg.previews;

    # "Open in terminal" in the menu of a folder.
    programs.nautilus-open-any-terminal =
      lib.mkIf config.pantherOS.desktop.applications.terminal.enable
        {
          enable = true;
          terminal = "foot";
        };

    xdg.mime.defaultApplications."inode/directory" = "org.gnome.Nautilus.desktop";

    programs.dconf = {
      enable = true;
      profiles.user.databases = [
        {
          settings."org/gnome/nautilus/preferences".default-folder-viewer = "list-view";
        }
      ];
    };

    pantherOS.desktop.compositor.niri.binds."Mod+E" = "spawn \"nautilus\"";
  };
}
