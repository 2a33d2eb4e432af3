# What the stand-ins accept is what NixOS and the other inputs really have: their
# own declarations are in the tables of real options, and a definition that is
# not in them, or of another type, fails.
{ standIn, ... }:
let
  inherit (standIn) lib inventory;
  features = lib.attrNames inventory.features;
  system =
    settings:
    standIn.system {
      inherit features;
      modules = standIn.modules ++ [ settings ];
    };
  none = system { };
  inherit (none.config.standIn) tables;

  # The line that a definition fails with, null if it does not.
  unfit =
    loc: value:
    let
      lines = lib.unfit tables [ { inherit loc value; } ];
    in
    if lines == [ ] then null else lib.head lines;
  at = option: value: unfit (lib.splitString "." option) value;
  is = expr: expected: { inherit expr expected; };
  fine = option: value: is (at option value) null;
  wrong = option: value: wanted: is (at option value) wanted;
  refused = settings: {
    expr = standIn.fails (system settings).config.system.build.toplevel.drvPath;
    expected = true;
  };

  declared =
    prefix: tree:
    lib.concatLists (
      lib.mapAttrsToList (
        name: node:
        let
          here = prefix ++ [ name ];
        in
        if lib.isOption node then [ here ] else declared here node
      ) tree
    );
in
{
  standInsDeclareOnlyWhatExists = is (map lib.showOption (
    lib.filter (loc: !(lib.declaredIn tables loc)) (
      declared [ ] (
        removeAttrs none.options [
          "_module"
          "pantherOS"
          "standIn"
        ]
      )
    )
  )) [ ];

  bool = fine "services.openssh.enable" true;
  notBool =
    wrong "services.openssh.enable" "yes"
      "The option `services.openssh.enable' is \"yes\" here, but of the type bool in NixOS 26.11.";
  unknown =
    wrong "services.opensshd.enable" true
      "The option `services.opensshd' does not exist in NixOS 26.11 (the table of tests/stand-in; if it is newer, `make options` on a real tree).";
  # The brief's own spellings that NixOS does not have.
  briefs = {
    expr = lib.filter (option: at option true == null) [
      "hardware.amdgpu.powerProfile"
      "hardware.cpu.amd.thermalManagement"
      "hardware.cpu.intel.pstate.enable"
      "hardware.nvidia.prime.powerManagement.enable"
      "security.loginuid"
      "services.monitoring.prometheus.enable"
      "services.niri.package"
      "services.opnix.enable"
    ];
    expected = [ ];
  };
  enum = wrong "services.tailscale.useRoutingFeatures" "all" "The option `services.tailscale.useRoutingFeatures' is \"all\" here, but of the type one of [\"none\",\"client\",\"server\",\"both\"] in NixOS 26.11.";
  port = {
    expr = at "services.prometheus.port" 65536 == null;
    expected = false;
  };
  nullOrPath = fine "services.tailscale.authKeyFile" null;
  listOfStrings = {
    expr = at "services.xserver.videoDrivers" [ 1 ] == null;
    expected = false;
  };
  freeform = fine "services.openssh.settings.SomethingNew" "yes";
  freeformInside = fine "services.journald.remote.settings.Remote.MaxUse" "4G";
  submodule = fine "users.users.hayden.isNormalUser" true;
  insideASubmodule = wrong "users.users.hayden.isUser" true "The option `users.users.hayden.isUser' does not exist in NixOS 26.11 (the table of tests/stand-in; if it is newer, `make options` on a real tree).";
  attributeOfASet = fine "environment.etc.motd.text" "hello";
  unitsOption = fine "systemd.services.x.serviceConfig.ProtectSystem" "strict";
  home = fine "home-manager.users.hayden.programs.git.enable" true;
  unknownAtHome = {
    expr = at "home-manager.users.hayden.programs.gitt.enable" true == null;
    expected = false;
  };

  # And so for whole systems.
  unknownInASystem = refused { services.opensshd.enable = true; };
  wrongTypeInASystem = refused { services.thermald.debug = "yes"; };
  wrongTypeOfADeclaredOption = refused { services.tailscale.port = "41641"; };
  otherwiseFine = is (standIn.fails none.config.system.build.toplevel.drvPath) false;
}
