# lib/cis.nix: a hardened system misses nothing, a plain one does, and what is
# switched off is found.
{ standIn, ... }:
let
  inherit (standIn) lib;
  cis = import ../../lib/cis.nix { inherit lib; };
  hardened = {
    pantherOS.security = {
      audit = {
        intrusion-detection.enable = true;
        security-logging.enable = true;
      };
      firewall = {
        nftables.enable = true;
        rules.enable = true;
      };
      hardening = {
        kernel = {
          enable = true;
          usbStorage = false;
        };
        user-security = {
          enable = true;
          shellTimeout = 900;
        };
      };
      secrets.ssh-hardening.enable = true;
    };
  };
  items = modules: cis (standIn.system { modules = standIn.modules ++ modules; });
  missing = modules: map (i: i.id) (lib.filter (i: i.status == "missing") (items modules));
  without = change: missing [
    hardened
    change
  ];
  is = expr: expected: { inherit expr expected; };
  ids = map (i: i.id) (items [ hardened ]);
in
{
  nothing = is (missing [ hardened ]) [ ];
  idsAreUnique = is (lib.unique ids) ids;
  aPlainSystemMissesSome = is (lib.length (missing [ ]) > 40) true;
  kernelOff = is (lib.elem "1.1.1.1" (without {
    pantherOS.security.hardening.kernel.enable = lib.mkForce false;
  })) true;
  loopback = is (without { pantherOS.security.firewall.rules.enable = lib.mkForce false; }) [ "4.3.6" ];
  rootLogin = is (without { services.openssh.settings.PermitRootLogin = lib.mkForce "yes"; }) [
    "5.1.20"
  ];
  idleShell = is (without {
    pantherOS.security.hardening.user-security.shellTimeout = lib.mkForce null;
  }) [ "5.4.3.2" ];
  integrity = is (without {
    pantherOS.security.audit.intrusion-detection.enable = lib.mkForce false;
  }) [
    "6.3.1"
    "6.3.2"
    "6.3.3"
  ];
}
