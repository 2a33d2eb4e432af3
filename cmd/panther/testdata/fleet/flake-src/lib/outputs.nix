inputs:
let
  fleet = builtins.fromTOML (builtins.readFile ../hosts.toml);
  each = f: builtins.mapAttrs (name: _: f name (import ../hosts/${name}/configuration.nix)) fleet.hosts;
in
{
  nixosConfigurations = each (
    name: host: { config.system.build.toplevel = inputs.nixpkgs.lib.toplevel name host; }
  );
  lib.validation = each (
    name: host: {
      toplevel = (inputs.nixpkgs.lib.toplevel name host).drvPath;
      security = { };
      services = { };
      problems = host.problems or [ ];
    }
  );
}
