# The brief's validation script as checks: each host evaluates, its security and
# services are in order, its secrets are in the list, and it warns of nothing.
{ standIn, hosts }:
let
  inherit (standIn) lib;
  validate = import ../../lib/validation.nix { inherit lib; };
  secrets = import ../../lib/secrets.nix { inherit lib; };
  each = f: expected: {
    expr = lib.mapAttrs (_: f) hosts;
    expected = lib.mapAttrs (_: _: expected) hosts;
  };
in
{
  problems = each (nixos: (validate nixos).problems) [ ];
  evaluates = each (nixos: lib.hasSuffix ".drv" (validate nixos).toplevel) true;
  warnings = each (nixos: nixos.config.warnings) [ ];
  cisIsMet = each (nixos: lib.filter (i: i.status == "missing") (validate nixos).cis) [ ];
  # `opnix validate` does not exist: this is what it would have to say.
  secretsAreInOrder = {
    expr = secrets.problems;
    expected = [ ];
  };
  onlySecretsOfTheList = each (
    nixos:
    lib.filter (secret: !(secrets.names ? ${secret.reference})) (
      lib.attrValues nixos.config.services.onepassword-secrets.secrets
    )
  ) [ ];
  noSecretInTheEnvironment = each (
    nixos:
    lib.filter (
      name: builtins.match ".*(TOKEN|SECRET|PASSWORD|API_KEY).*" name != null
    ) (lib.attrNames (nixos.config.environment.variables // nixos.config.environment.sessionVariables))
  ) [ ];
}
