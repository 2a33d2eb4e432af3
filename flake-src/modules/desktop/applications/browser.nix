# Firefox with its extensions, and with what it reports about its user turned
# off. That it opens links is said in home/common/ui.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.desktop.applications.browser;
in
{
  options.pantherOS.desktop.applications.browser = {
    enable = lib.mkEnableOption "Firefox";

    extensions = mkOption {
      type = types.attrsOf types.singleLineStr;
      default = {
        "uBlock0@raymondhill.net" = "ublock-origin";
        "{d634138d-c276-4fc8-924b-40a0ea21d284}" = "1password-x-password-manager";
      };
      example = lib.literalExpression ''{ "uBlock0@raymondhill.net" = "ublock-origin"; }'';
      description = "Extensions that everybody has: their id, and their name in the address of their page on addons.mozilla.org. Firefox fetches them and keeps them up to date.";
    };
  };

  config = lib.mkIf cfg.enable {
    programs.firefox = {
      enable = true;
      policies = {
        DisableTelemetry = true;
        DisableFirefoxStudies = true;
        DisablePocket = true;
        # The Nix store is read-only: an update would fail every time.
        DisableAppUpdate = true;
        # 1Password keeps them.
        OfferToSaveLogins = !(cfg.extensions ? "{d634138d-c276-4fc8-924b-40a0ea21d284}");
        ExtensionSettings = lib.mapAttrs (_: name: {
          installation_mode = "normal_installed";
          install_url = "https://addons.mozilla.org/firefox/downloads/latest/${name}/latest.xpi";
        }) cfg.extensions;
      };
    };

    pantherOS.desktop.compositor.niri.binds."Mod+Shift+B" = "spawn \"firefox\"";
  };
}
