# Units: each is a store path of its own, as on NixOS.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.systemd;

  strings = mkOption {
    type = types.listOf types.str;
    default = [ ];
  };
  section = mkOption {
    type = types.attrsOf types.anything;
    default = { };
  };
  lines = mkOption {
    type = types.lines;
    default = "";
  };
  relations = {
    After = "after";
    Before = "before";
    BindsTo = "bindsTo";
    Conflicts = "conflicts";
    PartOf = "partOf";
    Requires = "requires";
    Wants = "wants";
  };
  # What all kinds of units share; a unit's own section is `kind`Config.
  unit =
    kind: extra:
    types.submodule {
      freeformType = types.attrsOf types.anything;
      options = {
        enable = lib.mkEnableOption "the unit" // {
          default = true;
        };
        description = mkOption {
          type = types.singleLineStr;
          default = "";
        };
        wantedBy = strings;
        requiredBy = strings;
        unitConfig = section;
        "${kind}Config" = section;
      }
      // lib.mapAttrs' (_: option: lib.nameValuePair option strings) relations
      // extra;
    };
  service = unit "service" {
    environment = mkOption {
      type = types.attrsOf (types.nullOr (types.either types.int (types.either types.str types.path)));
      default = { };
    };
    path = mkOption {
      type = types.listOf (types.either types.package types.str);
      default = [ ];
    };
    script = lines;
    preStart = lines;
    startAt = mkOption {
      type = types.either types.str (types.listOf types.str);
      default = [ ];
      apply = lib.toList;
    };
    restartIfChanged = lib.mkEnableOption "a restart on change" // {
      default = true;
    };
  };

  value = v: if builtins.isBool v then lib.boolToString v else toString v;
  render =
    set:
    lib.concatStrings (
      lib.mapAttrsToList (
        n: v:
        lib.concatMapStrings (x: "${n}=${value x}\n") (if v == null then [ ] else lib.toList v)
      ) set
    );
  scriptOf =
    name: what: text:
    pkgs.writeShellScriptBin "unit-script-${name}-${what}" text;
  serviceSection =
    name: u:
    {
      Environment = lib.mapAttrsToList (n: v: "\"${n}=${toString v}\"") (
        lib.filterAttrs (_: v: v != null) u.environment
      )
      ++ lib.optional (u.path != [ ]) "\"PATH=${
        lib.concatMapStringsSep ":" (p: "${p}/bin") u.path
      }\"";
    }
    // lib.optionalAttrs (u.script != "") { ExecStart = lib.getExe (scriptOf name "start" u.script); }
    // lib.optionalAttrs (u.preStart != "") {
      ExecStartPre = lib.getExe (scriptOf name "pre-start" u.preStart);
    }
    // u.serviceConfig;
  unitFile =
    kind: name: u:
    pkgs.writeTextFile {
      name = "unit-${name}.${kind}";
      destination = "/${name}.${kind}";
      text = ''
        [Unit]
        ${lib.optionalString (u.description != "") "Description=${u.description}"}
        ${render (builtins.mapAttrs (_: option: u.${option}) relations // u.unitConfig)}
        [${lib.toUpper (builtins.substring 0 1 kind)}${builtins.substring 1 99 kind}]
        ${render (if kind == "service" then serviceSection name u else u."${kind}Config")}'';
    };

  # { <kind> = { <name> = unit; }; } as a list of files.
  units =
    kinds:
    lib.concatLists (
      lib.mapAttrsToList (
        kind: set:
        lib.mapAttrsToList (name: u: {
          file = "${name}.${kind}";
          path = unitFile kind name u;
          wantedBy = u.wantedBy ++ u.requiredBy;
        }) (lib.filterAttrs (_: u: u.enable) set)
      ) kinds
    );
  farm =
    name: list:
    pkgs.linkFarm name (
      map (u: {
        name = u.file;
        path = "${u.path}/${u.file}";
      }) list
      ++ lib.concatMap (
        u:
        map (target: {
          name = "${target}.wants/${u.file}";
          path = "../${u.file}";
        }) u.wantedBy
      ) list
    );
  startAt = lib.filterAttrs (_: s: s.enable && s.startAt != [ ]) cfg.services;
in
{
  options.systemd = {
    package = mkOption {
      type = types.package;
      default = pkgs.systemd;
    };
    services = mkOption {
      type = types.attrsOf service;
      default = { };
    };
    timers = mkOption {
      type = types.attrsOf (unit "timer" { });
      default = { };
    };
    sockets = mkOption {
      type = types.attrsOf (unit "socket" { });
      default = { };
    };
    targets = mkOption {
      type = types.attrsOf (unit "target" { });
      default = { };
    };
    user.services = mkOption {
      type = types.attrsOf service;
      default = { };
    };
    packages = mkOption {
      type = types.listOf types.package;
      default = [ ];
    };
    tmpfiles.rules = mkOption {
      type = types.listOf types.str;
      default = [ ];
    };
  };

  config = {
    systemd.timers = builtins.mapAttrs (_: s: {
      wantedBy = [ "timers.target" ];
      timerConfig.OnCalendar = s.startAt;
    }) startAt;
    systemd.services = lib.genAttrs [
      "dbus-broker"
      "getty@"
      "nscd"
      "resolvconf"
      "suid-sgid-wrappers"
      "systemd-journald"
      "systemd-logind"
      "systemd-modules-load"
      "systemd-sysctl"
      "systemd-timesyncd"
      "systemd-tmpfiles-setup"
      "systemd-udevd"
      "systemd-vconsole-setup"
      "user-runtime-dir@"
      "user@"
    ] (name: {
      description = lib.mkDefault "stand-in for ${name}";
      wantedBy = lib.mkDefault [ "multi-user.target" ];
      serviceConfig.ExecStart = lib.mkDefault "/run/current-system/systemd/bin/systemctl";
      environment.LOCALE_ARCHIVE = "${pkgs.glibc-locales}/share/glibc-locales";
    });
    environment.etc = {
      "systemd/system".source = farm "system-units" (
        units {
          service = cfg.services;
          timer = cfg.timers;
          socket = cfg.sockets;
          target = cfg.targets;
        }
      );
      "systemd/user".source = farm "user-units" (units {
        service = cfg.user.services;
      });
      "systemd/system.conf".text = "[Manager]\n";
      "systemd/journald.conf".text = "[Journal]\nStorage=persistent\n";
      "systemd/logind.conf".text = "[Login]\n";
      "systemd/timesyncd.conf".text = "[Time]\n";
      "tmpfiles.d/00-nixos.conf".text = lib.concatLines cfg.tmpfiles.rules;
      "udev/hwdb.bin".source = "${pkgs.hwdata}/share";
    };
  };
}
