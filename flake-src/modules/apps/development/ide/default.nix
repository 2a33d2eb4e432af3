# IDEs: which ones the machine has. How they are set up is each person's, in
# home/common/editors, which looks here.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.pantherOS.apps.development.ide;
in
{
  options.pantherOS.apps.development.ide = {
    enable = lib.mkEnableOption "IDEs";

    vscode = mkOption {
      type = types.bool;
      default = true;
      description = "Visual Studio Code.";
    };

    jetbrains = mkOption {
      # Those whose names are the same in all releases of nixpkgs.
      type = types.listOf (
        types.enum [
          "clion"
          "goland"
          "webstorm"
        ]
      );
      default = [ ];
      example = [ "goland" ];
      description = "JetBrains' IDEs; they want a licence of the person who uses them.";
    };
  };

  config = lib.mkIf cfg.enable {
    pantherOS.base.unfree-packages = lib.optional cfg.vscode "vscode" ++ cfg.jetbrains;

    # They watch every file of a project; the kernel's default is for one small
    # project.
    boot.kernel.sysctl = {
      "fs.inotify.max_user_watches" = 1048576;
      "fs.inotify.max_user_instances" = 1024;
    };

    # Where they keep what people sign in with.
    services.gnome.gnome-keyring.enable = lib.mkDefault true;
  };
}
