# What runs for a person by itself, and commands for what one does often.
{ pkgs, ... }:
let
  # nixos-changes [GENERATION]: what the running system has that an earlier
  # generation, the one before by default, had not.
  changes = pkgs.writeShellScriptBin "nixos-changes" ''
    set -euo pipefail
    profiles=/nix/var/nix/profiles
    now=$(readlink "$profiles/system")
    now=''${now#system-}
    now=''${now%-link}
    before=''${1:-$((now - 1))}
    if [ ! -e "$profiles/system-$before-link" ]; then
      echo "nixos-changes: there is no generation $before; see nixos-rebuild list-generations" >&2
      exit 1
    fi
    exec nix store diff-closures "$profiles/system-$before-link" "$profiles/system-$now-link"
  '';
in
{
  home.packages = [
    changes
    pkgs.trash-cli
  ];

  # What has lain in the wastebasket for a month goes.
  systemd.user.services.empty-trash = {
    Unit.Description = "Empty the wastebasket of what is older than 30 days";
    Service = {
      Type = "oneshot";
      ExecStart = "${pkgs.trash-cli}/bin/trash-empty -f 30";
    };
  };
  systemd.user.timers.empty-trash = {
    Unit.Description = "Empty the wastebasket every week";
    Timer = {
      OnCalendar = "weekly";
      Persistent = true;
    };
    Install.WantedBy = [ "timers.target" ];
  };
}
