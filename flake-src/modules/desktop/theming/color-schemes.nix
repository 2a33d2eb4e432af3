# Colour schemes: sixteen colours each, in the order of base16, and where they
# are used: console, terminal, niri, launcher, notifications.
{
  config,
  lib,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.desktop.theming.color-schemes;
  desktop = config.pantherOS.desktop;
  color = n: lib.elemAt cfg.current.colors n;

  # The sixteen colours of a terminal, from those of base16.
  terminal = map color [
    0
    8
    11
    10
    13
    14
    12
    5
    3
    8
    11
    10
    13
    14
    12
    7
  ];

  foot = config.programs.foot.package or null;
  # foot 1.26 knows two sets and calls the first so; the old name is on its way
  # out.
  footSection =
    if foot != null && lib.versionAtLeast (lib.getVersion foot) "1.26" then "colors-dark" else "colors";
in
{
  options.pantherOS.desktop.theming.color-schemes = {
    enable = lib.mkEnableOption "one colour scheme everywhere";

    scheme = mkOption {
      type = types.enum (lib.attrNames cfg.schemes);
      default = "catppuccin-mocha";
      description = "The scheme in use, one of `schemes`.";
    };

    schemes = mkOption {
      example = lib.literalExpression ''{ mine = { dark = false; colors = lib.splitString " " "ffffff …"; }; }'';
      description = "The schemes there are. Dark or light, and base00 to base0F without a number sign.";
      type = types.attrsOf (
        types.submodule {
          options = {
            dark = mkOption {
              type = types.bool;
              default = true;
              description = "Whether the background is dark.";
            };
            colors = mkOption {
              type = types.listOf (types.strMatching "[0-9a-f]{6}");
              description = "Its sixteen colours.";
            };
          };
        }
      );
    };

    current = mkOption {
      type = types.raw;
      readOnly = true;
      internal = true;
      default = cfg.schemes.${cfg.scheme};
      description = "The scheme in use, for other modules.";
    };
  };

  config = lib.mkMerge [
    {
      # Definitions, so that a host can add one.
      pantherOS.desktop.theming.color-schemes.schemes = {
        catppuccin-mocha.colors = lib.splitString " " "1e1e2e 181825 313244 45475a 585b70 cdd6f4 f5e0dc b4befe f38ba8 fab387 f9e2af a6e3a1 94e2d5 89b4fa cba6f7 f2cdcd";
        catppuccin-latte = {
          dark = false;
          colors = lib.splitString " " "eff1f5 e6e9ef ccd0da bcc0cc acb0be 4c4f69 dc8a78 7287fd d20f39 fe640b df8e1d 40a02b 179299 1e66f5 8839ef dd7878";
        };
        gruvbox-dark.colors = lib.splitString " " "282828 3c3836 504945 665c54 bdae93 d5c4a1 ebdbb2 fbf1c7 fb4934 fe8019 fabd2f b8bb26 8ec07c 83a598 d3869b d65d0e";
      };
    }

    (lib.mkIf cfg.enable {
      assertions = [
        {
          assertion = lib.length cfg.current.colors == 16;
          message = "The colour scheme ${cfg.scheme} has ${toString (lib.length cfg.current.colors)} colours: give it sixteen in pantherOS.desktop.theming.color-schemes.schemes.${cfg.scheme}.colors.";
        }
      ];

      console.colors = terminal;

      programs.foot.settings.${footSection} = lib.mkIf desktop.applications.terminal.enable (
        {
          background = color 0;
          foreground = color 5;
        }
        // lib.listToAttrs (
          lib.concatLists (
            lib.genList (n: [
              (lib.nameValuePair "regular${toString n}" (lib.elemAt terminal n))
              (lib.nameValuePair "bright${toString n}" (lib.elemAt terminal (n + 8)))
            ]) 8
          )
        )
      );

      pantherOS.desktop = {
        compositor.niri.sections.layout = ''
          focus-ring {
            width 2
            active-color "#${color 13}"
            inactive-color "#${color 3}"
            urgent-color "#${color 8}"
          }
        '';
        # These are read where DankMaterialShell is not.
        system.application-launcher.colors = {
          background = "${color 0}ff";
          text = "${color 5}ff";
          match = "${color 13}ff";
          selection = "${color 2}ff";
          selection-text = "${color 5}ff";
          border = "${color 13}ff";
        };
        system.notifications.colors = {
          background-color = "#${color 0}";
          text-color = "#${color 5}";
          border-color = "#${color 13}";
        };
      };
    })
  ];
}
