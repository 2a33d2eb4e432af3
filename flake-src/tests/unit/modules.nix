# What holds for each file of modules/: its options are where its path says,
# it does nothing until it is switched on and something then, and it says so
# when it is switched on without the feature that it needs.
{ standIn, ... }:
let
  inherit (standIn) lib inventory fails;

  # modules/base/time-locale.nix -> [ "base" "time-locale" ]; a folder with a
  # default.nix is a module by the folder's name.
  root = toString ../../modules + "/";
  pathOf =
    file:
    lib.splitString "/" (
      lib.removeSuffix "/default" (lib.removeSuffix ".nix" (lib.removePrefix root (toString file)))
    );
  paths = map pathOf standIn.modules;
  title = lib.concatStringsSep ".";

  toplevel = system: system.config.system.build.toplevel.drvPath;
  allFeatures = lib.attrNames inventory.features;
  # What else must be set for a module to make sense, by module. Everything of
  # the desktop is about the niri session.
  also =
    path:
    lib.recursiveUpdate (lib.optionalAttrs (lib.head path == "desktop") {
      desktop.compositor.niri.enable = true;
    }) (alsoFor.${title path} or { });
  alsoFor = {
    "base.file-systems".base = {
      boot-loader.enable = true;
      file-systems.systemDisk = "/dev/vda";
    };
    "base.users-groups".base.users-groups = {
      users.somebody = { };
      admins = [ "somebody" ];
    };
    "apps.development.container-dev".services.containers.podman.enable = true;
    "hardware.audio.audio-quality".hardware.audio.pipewire.enable = true;
    "hardware.audio.bluetooth-audio".hardware = {
      audio.pipewire.enable = true;
      connectivity.bluetooth.enable = true;
    };
    "hardware.display" = {
      desktop.compositor.niri.enable = true;
      hardware.display.outputs."eDP-1" = { };
    };
    "hardware.laptop.keyboard".desktop.compositor.niri.enable = true;
    "hardware.laptop.touchpad".desktop.compositor.niri.enable = true;
    "networking.proxy".networking.proxy.url = "http://proxy.example.org:3128";
    "networking.wifi".networking.workstation-net.enable = true;
    "security.firewall.logging".security.firewall.nftables.enable = true;
    "security.firewall.rules".security.firewall.nftables.enable = true;
    "security.hardening.service-hardening".hardware.laptop.thermal.enable = true;
    "services.backup" = {
      security.secrets.opnix.enable = true;
      services.backup.bucket = "somewhere";
    };
    "services.monitoring.alerting".services.monitoring.metrics.enable = true;
    "services.monitoring.datadog".security.secrets.opnix.enable = true;
    "services.monitoring.logging".services = {
      monitoring.logging.receive = true;
      networking.tailscale.enable = true;
    };
    "desktop.display.multi-monitor" = {
      hardware.display = {
        enable = true;
        outputs = lib.genAttrs [
          "DP-1"
          "DP-2"
        ] (_: {
          mode = {
            width = 1920;
            height = 1080;
          };
        });
      };
      desktop.display.multi-monitor = {
        order = [
          "DP-1"
          "DP-2"
        ];
        primary = "DP-1";
      };
    };
  };
  switch = path: enable: lib.recursiveUpdate (also path) (lib.setAttrByPath path { inherit enable; });
  on = path: switch path true;
  with' =
    features: settings:
    standIn.system {
      inherit features;
      modules = standIn.modules ++ [ { pantherOS = settings; } ];
    };
  bare = toplevel (standIn.system {
    features = allFeatures;
    modules = [ ];
  });

  none = with' allFeatures { };
  options = none.options.pantherOS;
  switches = lib.filter (path: (lib.getAttrFromPath path options) ? enable) paths;

  # Option sets that belong to no file.
  declared =
    prefix: tree:
    lib.concatLists (
      lib.mapAttrsToList (
        name: node:
        let
          here = prefix ++ [ name ];
        in
        if lib.elem here paths then
          [ ]
        else if lib.isOption node then
          [ (title here) ]
        else
          declared here node
      ) tree
    );

  needs = {
    "base.file-systems" = "disko";
    "desktop.compositor.niri" = "niri";
    "desktop.theming.dankmaterialshell" = "dank-material-shell";
    "security.secrets.opnix" = "opnix";
    "services.backup" = "opnix";
    "services.monitoring.datadog" = "opnix";
  };
in
{
  everyModuleHasItsOptions = {
    expr = lib.filter (path: !(lib.hasAttrByPath path options)) paths;
    expected = [ ];
  };
  everyOptionHasItsModule = {
    expr = declared [ ] options;
    expected = [ ];
  };
  nothingIsOnByItself = {
    expr = toplevel none;
    expected = bare;
  };
}
// lib.listToAttrs (
  map (
    path:
    lib.nameValuePair "on: ${title path}" {
      expr =
        toplevel (with' allFeatures (on path)) != toplevel (with' allFeatures (switch path false));
      expected = true;
    }
  ) switches
)
// lib.mapAttrs' (
  module: feature:
  lib.nameValuePair "without ${feature}: ${module}" {
    expr = fails (toplevel (with' (lib.remove feature allFeatures) (on (lib.splitString "." module))));
    expected = true;
  }
) needs
