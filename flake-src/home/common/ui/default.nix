# What a person sees and clicks on, where the machine has a desktop: which
# program opens what, and small habits of GTK programs. Colours, fonts, icons
# and the shell are the machine's, in modules/desktop/theming.
{ lib, osConfig, ... }:
let
  os = osConfig.pantherOS;
  to = program: types: lib.genAttrs types (_: [ program ]);
in
{
  config = lib.mkIf os.desktop.compositor.niri.enable {
    xdg.mimeApps = {
      enable = true;
      # Each only where its program is installed.
      defaultApplications =
        lib.optionalAttrs os.desktop.applications.browser.enable (
          to "firefox.desktop" [
            "text/html"
            "x-scheme-handler/http"
            "x-scheme-handler/https"
          ]
        )
        // lib.optionalAttrs os.apps.media.enable (
          to "imv.desktop" [
            "image/gif"
            "image/jpeg"
            "image/png"
            "image/webp"
          ]
          // to "mpv.desktop" [
            "audio/flac"
            "audio/mpeg"
            "video/mp4"
            "video/webm"
            "video/x-matroska"
          ]
        )
        // lib.optionalAttrs os.apps.productivity.enable (
          to "org.pwmt.zathura.desktop" [ "application/pdf" ]
        )
        // lib.optionalAttrs os.apps.communication.enable (
          to "thunderbird.desktop" [
            "message/rfc822"
            "x-scheme-handler/mailto"
          ]
        );
    };

    dconf.settings = {
      "org/gnome/desktop/interface".clock-format = "24h";
      # niri closes windows by a key: no buttons that do nothing more.
      "org/gnome/desktop/wm/preferences".button-layout = "";
      "org/gtk/gtk4/settings/file-chooser".sort-directories-first = true;
      "org/gtk/settings/file-chooser".sort-directories-first = true;
    };
  };
}
