# The list of secrets and its templates are in order, and what is not is found.
{ standIn, ... }:
let
  inherit (standIn) lib fails;
  secrets = import ../../lib/secrets.nix { inherit lib; };
  is = expr: expected: { inherit expr expected; };
  wrong =
    change:
    import ../../secrets/validation.nix (
      {
        inherit lib;
        inherit (secrets)
          map
          names
          reference
          templates
          ;
      }
      // change
    );
  toplevel =
    settings:
    (standIn.system {
      features = [ "opnix" ];
      modules = standIn.modules ++ [ { pantherOS.security.secrets.opnix = settings; } ];
    }).config.system.build.toplevel.drvPath;
  scriptOf =
    settings:
    (standIn.system {
      features = [ "opnix" ];
      modules = standIn.modules ++ [ { pantherOS.security.secrets.opnix = settings; } ];
    }).config.systemd.services.secrets-ready.script;
in
{
  inOrder = is secrets.problems [ ];
  threeParts = is (secrets.reference "authentication/tailscale/authKey") "op://pantherOS/authentication/tailscale/authKey";
  sectionsInSections = is (secrets.reference "credentials/storage/b2/keyId") "op://pantherOS/credentials/storage.b2/keyId";

  wrongName = is (wrong { map."tailscale-auth-key" = "a/b"; templates = { }; }) [
    "secrets/map.nix: tailscale-auth-key is no name that OpNix takes: letters and digits, a small letter first"
  ];
  wrongPlace = is (wrong { map.a = "op://pantherOS/a/b"; templates = { }; }) [
    "secrets/map.nix: a is at \"op://pantherOS/a/b\", which is no place in the vault: item/section/field is wanted, without op:// and the vault"
  ];
  twoNames = is (wrong {
    map = {
      a = "x/y";
      b = "x/y";
    };
    templates = { };
  }) [
    "secrets/map.nix: a is at x/y, as is another name: one name for each secret"
    "secrets/map.nix: b is at x/y, as is another name: one name for each secret"
  ];
  unknownReference = is (wrong {
    templates."x.env" = [
      {
        line = "A=op://pantherOS/x/y";
        variable = "A";
        reference = "op://pantherOS/x/y";
      }
    ];
  }) [ "secrets/templates/x.env: op://pantherOS/x/y is no secret of secrets/map.nix" ];
  noTemplateLine = is (wrong {
    templates."x.env" = [
      {
        line = "A=secret";
        variable = null;
        reference = null;
      }
    ];
  }) [
    "secrets/templates/x.env: \"A=secret\" is neither NAME=op://vault/item/section/field nor a comment"
  ];

  # The module asks the same.
  unknownItem = is (fails (toplevel {
    enable = true;
    items.nobodysKey = { };
  })) true;
  unknownTemplate = is (fails (toplevel {
    enable = true;
    items.datadogApiKey = { };
    templates."nobodys.env" = { };
  })) true;
  aTemplateFetchesItsSecrets = is (lib.hasInfix "b2KeyId is missing: op://pantherOS/credentials/storage.b2/keyId" (scriptOf {
    enable = true;
    templates."b2.env" = { };
  })) true;
}
