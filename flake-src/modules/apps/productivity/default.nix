# Documents, notes, passwords: an office.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.pantherOS.apps.productivity;
  editor = config.pantherOS.desktop.applications.text-editor;
in
{
  options.pantherOS.apps.productivity = {
    enable = lib.mkEnableOption "office, notes and PDF programs, and printing";
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = [
      pkgs.hunspell
      pkgs.libreoffice-fresh
      pkgs.xournalpp
      pkgs.zathura
    ]
    # One list of dictionaries for all programs; the editor installs it.
    ++ lib.optionals (!editor.enable) editor.dictionaries;

    # Printers of the network that need no driver, which is nearly all.
    services.printing.enable = true;
    services.avahi = {
      enable = true;
      nssmdns4 = true;
    };
  };
}
