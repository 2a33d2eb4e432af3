# units nixos: the units of systemd that files of this flake define, on a system of
# real nixpkgs: what TestRealFiles looks at.
{ lib }:
nixos:
let
  root = toString ../. + "/";
  ours =
    option: suffix: present:
    map (name: "${name}.${suffix}") (
      lib.filter (name: present ? ${name}) (
        lib.unique (
          lib.concatMap (
            d: lib.optionals (lib.hasPrefix root (toString d.file)) (lib.attrNames d.value)
          ) option.definitionsWithLocations
        )
      )
    );
  of = scope: options: kinds: {
    ${scope} = lib.concatLists (
      lib.mapAttrsToList (
        kind: suffix: ours options.${kind} suffix (
          if scope == "user" then nixos.config.systemd.user.${kind} else nixos.config.systemd.${kind}
        )
      ) kinds
    );
  };
  kinds = {
    services = "service";
    sockets = "socket";
    timers = "timer";
  };
in
of "system" nixos.options.systemd kinds // of "user" nixos.options.systemd.user kinds
