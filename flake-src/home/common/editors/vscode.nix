# Visual Studio Code, where pantherOS.apps.development.ide has it.
{
  lib,
  osConfig,
  pkgs,
  ...
}:
let
  inherit (osConfig.pantherOS.apps.development) ide;
in
{
  programs.vscode = lib.mkIf (ide.enable && ide.vscode) {
    enable = true;
    # More can be installed by hand; these come with the machine.
    mutableExtensionsDir = true;
    profiles.default = {
      # Both belong to Nix.
      enableUpdateCheck = false;
      enableExtensionUpdateCheck = false;
      extensions = [
        pkgs.vscode-extensions.golang.go
        pkgs.vscode-extensions.jnoortheen.nix-ide
        pkgs.vscode-extensions.mkhl.direnv
      ];
      userSettings = {
        "editor.formatOnSave" = true;
        "files.insertFinalNewline" = true;
        "files.trimTrailingWhitespace" = true;
        "git.autofetch" = true;
        # From apps/development/language-tools.
        "nix.enableLanguageServer" = true;
        "nix.serverPath" = "nil";
        "telemetry.telemetryLevel" = "off";
      };
    };
  };
}
