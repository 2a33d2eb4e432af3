# The clipboard: commands for it, and what was copied before. DankMaterialShell
# keeps that where it is on, cliphist elsewhere.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.desktop.system.clipboard;
  dms = config.pantherOS.desktop.theming.dankmaterialshell.enable;
  pick = pkgs.writeShellScript "pick-from-clipboard" ''
    ${lib.getExe pkgs.cliphist} list | ${lib.getExe pkgs.fuzzel} --dmenu \
      | ${lib.getExe pkgs.cliphist} decode | ${pkgs.wl-clipboard}/bin/wl-copy
  '';
in
{
  options.pantherOS.desktop.system.clipboard = {
    enable = lib.mkEnableOption "the clipboard's commands and history";

    items = mkOption {
      type = types.ints.positive;
      default = 200;
      example = 1000;
      description = "How many copies cliphist keeps. DankMaterialShell has a setting of its own.";
    };
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ pkgs.wl-clipboard ] ++ lib.optional (!dms) pkgs.cliphist;

    systemd.user.services.cliphist = lib.mkIf (!dms) {
      description = "History of the clipboard";
      wantedBy = [ "graphical-session.target" ];
      after = [ "graphical-session.target" ];
      partOf = [ "graphical-session.target" ];
      serviceConfig = {
        ExecStart = "${pkgs.wl-clipboard}/bin/wl-paste --watch ${lib.getExe pkgs.cliphist} -max-items ${toString cfg.items} store";
        Restart = "on-failure";
      };
    };

    pantherOS.desktop.compositor.niri.binds."Mod+V" =
      if dms then "spawn \"dms\" \"ipc\" \"call\" \"clipboard\" \"toggle\"" else "spawn \"${pick}\"";
  };
}
