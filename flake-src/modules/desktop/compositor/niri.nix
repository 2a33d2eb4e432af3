# niri, the scrolling Wayland compositor, and the login screen before it.
#
# Other modules say here what they want of niri; it is all in one file,
# /etc/niri/config.kdl, which niri reads for everybody who has no
# ~/.config/niri/config.kdl.
{
  config,
  lib,
  pkgs,
  features,
  host,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.desktop.compositor.niri;
  # It was greetd.tuigreet before it was tuigreet.
  tuigreet = pkgs.tuigreet or pkgs.greetd.tuigreet;

  section = name: body: "${name} {\n${body}\n}\n";
  bind = key: action: "${key} { ${action}; }";
in
{
  options.pantherOS.desktop.compositor.niri = {
    enable = lib.mkEnableOption "the niri compositor";

    package = lib.mkPackageOption pkgs "niri" {
      extraDescription = "That of nixpkgs: niri-flake's own would be fetched during evaluation.";
    };

    binds = mkOption {
      type = types.attrsOf types.singleLineStr;
      default = { };
      example = lib.literalExpression ''{ "Mod+T" = "spawn \"foot\""; "Mod+Q repeat=false" = "close-window"; }'';
      description = "Action of a key, in niri's words. The key may be followed by properties. Two modules that want the same key are an error.";
    };

    sections = mkOption {
      type = types.attrsOf types.lines;
      default = { };
      example = lib.literalExpression ''{ layout = "gaps 8"; }'';
      description = "Contents of the sections that niri takes only once (input, layout, cursor and so on), from all modules together.";
    };

    extraConfig = mkOption {
      type = types.lines;
      default = "";
      example = ''spawn-at-startup "foot" "--server"'';
      description = "What stands outside of such sections: outputs, workspaces, window rules, programs to start.";
    };
  };

  config = lib.mkMerge [
    (lib.mkIf cfg.enable {
      assertions = [
        {
          assertion = features.niri;
          message = "pantherOS.desktop.compositor.niri needs niri-flake: add \"niri\" to the features of ${host.name} in hosts.toml and run `panther generate`.";
        }
      ];

      services.greetd = {
        enable = true;
        settings.default_session = {
          command = "${lib.getExe tuigreet} --time --remember --cmd niri-session";
          user = "greeter";
        };
      };

      pantherOS.desktop.compositor.niri.binds = {
        "Mod+Shift+Slash" = "show-hotkey-overlay";
        "Mod+Shift+E" = "quit";
        "Mod+Shift+P" = "power-off-monitors";
        # Out of a program that takes all keys, a remote desktop say.
        "Mod+Escape allow-inhibiting=false" = "toggle-keyboard-shortcuts-inhibit";
        "Print" = "screenshot";
        "Ctrl+Print" = "screenshot-screen";
        "Alt+Print" = "screenshot-window";
      };

      environment.etc."niri/config.kdl".text = lib.concatStrings (
        lib.mapAttrsToList section cfg.sections
        ++ [
          (section "binds" (lib.concatStringsSep "\n" (lib.mapAttrsToList bind cfg.binds)))
          cfg.extraConfig
        ]
      );
    })

    (lib.optionalAttrs features.niri {
      programs.niri = lib.mkIf cfg.enable {
        enable = true;
        inherit (cfg) package;
      };
      # Everything comes from our own cache, or is built.
      niri-flake.cache.enable = lib.mkIf cfg.enable false;
    })
  ];
}
