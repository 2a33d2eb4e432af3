# Every assertion of modules/ fires: for each there is a case with settings that
# break it and a part of the message that it then gives.
{ standIn, ... }:
let
  inherit (standIn) lib inventory fails;
  allFeatures = lib.attrNames inventory.features;

  messages =
    features: settings:
    map (a: a.message) (
      lib.filter (a: !a.assertion)
        (standIn.system {
          inherit features;
          modules = standIn.modules ++ [ settings ];
        }).config.assertions
    );
  # As it is in the module's file, up to where a value is put in.
  case = says: pantherOS: {
    inherit says;
    features = allFeatures;
    settings = { inherit pantherOS; };
  };
  without = feature: case: case // { features = lib.remove feature allFeatures; };
  also = settings: case: case // { settings = case.settings // settings; };

  niri = enable: { desktop.compositor.niri = { inherit enable; }; };
  screens = lib.genAttrs [ "DP-1" "DP-2" ] (_: {
    mode = {
      width = 1920;
      height = 1080;
    };
  });
  multiMonitor =
    display: hardware:
    lib.recursiveUpdate (niri true) {
      desktop.display.multi-monitor = {
        enable = true;
        order = [
          "DP-1"
          "DP-2"
        ];
        primary = "DP-1";
      }
      // display;
      hardware.display = {
        enable = true;
        outputs = screens;
      }
      // hardware;
    };
  display = hardware: niri true // { hardware.display = { enable = true; } // hardware; };
  thermal = settings: { hardware.laptop.thermal = { enable = true; } // settings; };
  wifi = settings: {
    networking = {
      workstation-net.enable = true;
      wifi = { enable = true; } // settings;
    };
  };
  firewall = settings: { security.firewall = settings; };
  vault = settings: { security.secrets.opnix = { enable = true; } // settings; };
  backup = settings: { services.backup = { enable = true; } // settings; };
  monitoring = settings: { services.monitoring = settings; };
  logging = settings: {
    services = {
      networking.tailscale.enable = true;
      monitoring.logging = { enable = true; } // settings;
    };
  };
  alerting = settings: monitoring {
    metrics.enable = true;
    alerting = { enable = true; } // settings;
  };
  registry = settings: { services.containers.registry = { enable = true; } // settings; };
  vpn = name: {
    services.networking.vpn = {
      enable = true;
      tunnels.${name} = {
        addresses = [ "10.8.0.2/32" ];
        keyItem = "credentials/vpn/work/privateKey";
        server = "vpn.example.org:51820";
        serverKey = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
        networks = [ "10.8.0.0/16" ];
      };
    };
  };

  cases = {
    "apps.development.container-dev" = [
      (case "works with Podman" { apps.development.container-dev.enable = true; })
    ];
    "base.boot-loader" = [
      (case "systemd-boot needs UEFI" { base.boot-loader = {
        enable = true;
        loader = "systemd-boot";
        firmware = "bios";
      }; })
    ];
    "base.file-systems" = [
      (without "disko" (
        case "needs disko" {
          base.file-systems = {
            enable = true;
            systemDisk = "/dev/vda";
          };
        }
      ))
      (case "needs an unencrypted /boot" { base = {
        boot-loader = {
          enable = true;
          firmware = "bios";
          loader = "grub";
        };
        file-systems = {
          enable = true;
          systemDisk = "/dev/vda";
          encrypt = true;
        };
      }; })
    ];
    "base.users-groups" = [
      (case "has no users" { base.users-groups.enable = true; })
      (case "may become root" { base.users-groups = {
        enable = true;
        users.somebody = { };
        admins = [ ];
      }; })
    ];
    "desktop.compositor.niri" = [ (without "niri" (case "needs niri-flake" (niri true))) ];
    "desktop.compositor.window-management" = [
      (case "is about niri's windows" { desktop.compositor.window-management.enable = true; })
    ];
    "desktop.compositor.workspace-management" = [
      (case "is about niri's workspaces" { desktop.compositor.workspace-management.enable = true; })
      (case "have the same name" (
        lib.recursiveUpdate (niri true) {
          desktop.compositor.workspace-management = {
            enable = true;
            named = [
              { name = "web"; }
              { name = "web"; }
            ];
          };
        }
      ))
    ];
    "desktop.display.multi-monitor" = [
      (case "arranges the screens of" (multiMonitor { } { enable = false; }))
      (case "must name two or more screens" (multiMonitor { order = [ "DP-1" ]; } { }))
      (case "is not one of the screens" (multiMonitor { primary = "DP-3"; } { }))
    ];
    "desktop.theming.color-schemes" = [
      (case "give it sixteen" { desktop.theming.color-schemes = {
        enable = true;
        scheme = "two";
        schemes.two.colors = [
          "000000"
          "ffffff"
        ];
      }; })
    ];
    "desktop.theming.dankmaterialshell" = [
      (without "dank-material-shell" (
        case "needs its flake" (
          lib.recursiveUpdate (niri true) { desktop.theming.dankmaterialshell.enable = true; }
        )
      ))
    ];
    "hardware.audio.audio-quality" = [
      (case "tunes PipeWire" { hardware.audio.audio-quality.enable = true; })
    ];
    "hardware.audio.bluetooth-audio" = [
      (case "needs both" { hardware.audio = {
        pipewire.enable = true;
        bluetooth-audio.enable = true;
      }; })
    ];
    "hardware.display" = [
      (case "sets screens up in niri" { hardware.display = {
        enable = true;
        outputs = screens;
      }; })
      (case "is on and says nothing" (display { }))
      (case "is read by colord" (display {
        outputs."DP-1".colorProfile = ../../flake.nix;
        colorManagement = false;
      }))
    ];
    "hardware.gpu.nvidia" = [
      (case "needs nvidiaBusId and intelBusId" { hardware.gpu.nvidia = {
        enable = true;
        prime = "offload";
      }; })
    ];
    "hardware.laptop.display" = [
      (case "work through niri" { hardware.laptop.display = {
        enable = true;
        autoRotate = true;
      }; })
    ];
    "hardware.laptop.keyboard" = [
      (case "sets the keyboard up in niri" { hardware.laptop.keyboard.enable = true; })
    ];
    "hardware.laptop.thermal" = [
      (case "are asusd's" (thermal { keyboardColor = "ff0000"; }))
      (case "a curve has eight points" (thermal {
        fanControl = "asus";
        fanCurves.quiet.cpu = [ {
          at = 30;
          speed = 10;
        } ];
      }))
    ];
    "hardware.laptop.touchpad" = [
      (case "sets the touchpad up in niri" { hardware.laptop.touchpad.enable = true; })
    ];
    "networking.proxy" = [ (case "say which" { networking.proxy.enable = true; }) ];
    "networking.wifi" = [
      (case "configures NetworkManager" { networking.wifi.enable = true; })
      (case "the passwords are in the vault" (wifi { networks.home = { ssid = "Home"; passwordItem = "credentials/wifi/home/password"; }; }))
      (case "names are a lower-case letter" (wifi { networks."at-home".ssid = "Home"; }))
    ];
    "security.firewall.logging" = [
      (case "writes nftables rules" (firewall { logging.enable = true; }))
    ];
    "security.firewall.rules" = [
      (case "are nftables rules" (firewall { rules.enable = true; }))
      (case "opens nothing" (firewall {
        nftables.enable = true;
        rules = {
          enable = true;
          allow.nothing = { };
        };
      }))
    ];
    "security.secrets.opnix" = [
      (without "opnix" (case "needs OpNix" (vault { })))
      (case "is not in secrets/map.nix" (vault { items.nobodysKey.item = "nobody/key"; }))
      (case "there is no secrets/templates/" (vault { templates."nobodys.env" = { }; }))
    ];
    "security.secrets.ssh-hardening" = [
      (case "the keys are in the vault" { security.secrets.ssh-hardening = {
        enable = true;
        vaultHostKey = true;
      }; })
    ];
    "services.backup" = [
      (case "password and key are in the vault" (backup { bucket = "somewhere"; }))
      (case "say where to" (lib.recursiveUpdate (vault { }) (backup { })))
    ];
    "services.cache.local-cache" = [
      (case "need pcache" { services.cache.local-cache = {
        enable = true;
        package = null;
        serve.enable = true;
      }; })
      (case "say where from" { services.cache.local-cache = {
        enable = true;
        package = derivation {
          name = "pcache";
          system = "x86_64-linux";
          builder = "/bin/sh";
        };
        warm.enable = true;
      }; })
    ];
    "services.containers.registry" = [
      (also { networking.firewall = {
        enable = true;
        allowedTCPPorts = [ 5000 ];
      }; } (case "is open to every network" (registry { port = 5000; })))
      (also { networking.firewall.enable = false; } (
        case "without a firewall only" (registry { listenAddress = "0.0.0.0"; })
      ))
    ];
    "services.monitoring.alerting" = [
      (case "looks at Prometheus's figures" (monitoring { alerting.enable = true; }))
      (case "webhookItems are in the vault" (alerting { webhookItems.critical = "services/alerting/criticalUrl"; }))
      (case "there are the severities" (alerting { webhookItems.mild = "services/alerting/criticalUrl"; }))
    ];
    "services.monitoring.datadog" = [
      (case "the API key is in the vault" (monitoring { datadog.enable = true; }))
    ];
    "services.monitoring.logging" = [
      (case "say where logs go" (logging { }))
      (case "hosts.toml has no host" (logging { collector = "nobody"; }))
      (case "logs travel over Tailscale alone" (monitoring { logging = {
        enable = true;
        receive = true;
      }; }))
    ];
    "services.networking.vpn" = [
      (case "the private keys are in the vault" (vpn "home"))
      (case "each name becomes a network interface" (vpn "Home"))
    ];
  };

  # What the cases below break otherwise than by settings: a list of problems that
  # the flake's own secrets do not have; tests/unit/secrets.nix has wrong ones.
  elsewhere = [ "secrets.problems == [ ];" ];

  # The text of each assertion, by module: from its condition to the next one's.
  root = toString ../../modules + "/";
  titleOf =
    file:
    lib.replaceStrings [ "/" ] [ "." ] (
      lib.removeSuffix "/default" (lib.removeSuffix ".nix" (lib.removePrefix root (toString file)))
    );
  asserted = lib.listToAttrs (
    map (
      file: lib.nameValuePair (titleOf file) (lib.tail (lib.splitString "assertion =" (builtins.readFile file)))
    ) standIn.modules
  );
  caseFor = title: text: lib.any (c: lib.hasInfix c.says text) (cases.${title} or [ ]);
in
{
  everyAssertionHasACase = {
    expr = lib.filterAttrs (_: texts: texts != [ ]) (
      lib.mapAttrs (
        title: lib.filter (text: !(caseFor title text) && !(lib.any (e: lib.hasInfix e text) elsewhere))
      ) asserted
    );
    expected = { };
  };
  everyCaseIsAnAssertions = {
    expr = lib.concatLists (
      lib.mapAttrsToList (
        title: list:
        map (c: "${title}: ${c.says}") (
          lib.filter (
            c: lib.length (lib.filter (text: lib.hasInfix c.says text) (asserted.${title} or [ ])) != 1
          ) list
        )
      ) cases
    );
    expected = [ ];
  };
}
// lib.listToAttrs (
  lib.concatLists (
    lib.mapAttrsToList (
      title:
      map (
        c:
        lib.nameValuePair "${title}: ${c.says}" {
          expr =
            let
              given = messages c.features c.settings;
            in
            if fails given then
              "fails to evaluate before it can say so"
            else if lib.any (lib.hasInfix c.says) given then
              "fires"
            else
              given;
          expected = "fires";
        }
      )
    ) cases
  )
)
