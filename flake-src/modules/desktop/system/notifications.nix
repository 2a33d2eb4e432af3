# Notifications: what shows them, and the key for those of the day.
# DankMaterialShell does it where it is on, mako elsewhere.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.desktop.system.notifications;
  dms = config.pantherOS.desktop.theming.dankmaterialshell.enable;
  settings = {
    default-timeout = cfg.timeout * 1000;
    anchor = "top-right";
  }
  // cfg.colors;
in
{
  options.pantherOS.desktop.system.notifications = {
    enable = lib.mkEnableOption "notifications";

    timeout = mkOption {
      type = types.ints.unsigned;
      default = 8;
      example = 0;
      description = "Seconds until mako takes a notification away, 0 for never. DankMaterialShell has settings of its own.";
    };

    colors = mkOption {
      type = types.attrsOf (types.strMatching "#[0-9a-f]{6}");
      default = { };
      example = {
        text-color = "#cdd6f4";
      };
      description = "Colours of mako, by its own names.";
    };
  };

  config = lib.mkIf cfg.enable {
    # notify-send, for scripts.
    environment.systemPackages = [ pkgs.libnotify ] ++ lib.optional (!dms) pkgs.mako;

    systemd.user.services.mako = lib.mkIf (!dms) {
      description = "Notifications";
      wantedBy = [ "graphical-session.target" ];
      after = [ "graphical-session.target" ];
      partOf = [ "graphical-session.target" ];
      serviceConfig = {
        Type = "dbus";
        BusName = "org.freedesktop.Notifications";
        # It reads no file in /etc by itself.
        ExecStart = "${lib.getExe pkgs.mako} --config ${
          pkgs.writeText "mako.conf" (lib.generators.toKeyValue { } settings)
        }";
        Restart = "on-failure";
      };
    };

    pantherOS.desktop.compositor.niri.binds =
      if dms then
        { "Mod+N" = "spawn \"dms\" \"ipc\" \"call\" \"notifications\" \"toggle\""; }
      else
        { "Mod+N" = "spawn \"makoctl\" \"restore\""; };
  };
}
