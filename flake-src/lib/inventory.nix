# hosts.toml as data: defaults filled in, ${release} replaced.
#
#   fleet     { name; description; release; nixpkgs; }
#   features  <name> -> { name; url; follows; modules; }
#   hosts     <name> -> { name; description; system; stateVersion; profiles;
#                         features; users; }
#
# `panther check` says with file and line what is wrong in hosts.toml
# (pipeline/inventory). Here it is only made sure that a mistake does not
# surface as something puzzling elsewhere.
let
  file = builtins.fromTOML (builtins.readFile ../hosts.toml);
  defaults = file.defaults or { };
  inherit (file.fleet) release;

  withRelease = builtins.replaceStrings [ "\${release}" ] [ release ];
  fail = message: throw "hosts.toml: ${message}";

  features = builtins.mapAttrs (name: f: {
    inherit name;
    url = withRelease (f.url or (fail "[features.${name}] has no url"));
    follows = f.follows or [ ];
    modules = f.modules or [ ];
  }) (file.features or { });

  host =
    name: table:
    let
      get =
        key: table.${key} or defaults.${key} or (fail "[hosts.${name}] has no ${key}, and neither has [defaults]");
      getList = key: table.${key} or defaults.${key} or [ ];
    in
    {
      inherit name;
      description = table.description or name;
      system = get "system";
      stateVersion = get "state-version";
      profiles = getList "profiles";
      users = getList "users";
      features = map (
        f:
        if features ? ${f} then
          f
        else
          fail "host ${name} asks for the feature ${f}, but there is no [features.${f}]"
      ) (getList "features");
    };
in
{
  fleet = file.fleet // {
    nixpkgs = withRelease file.fleet.nixpkgs;
  };
  inherit features;
  hosts = builtins.mapAttrs host (file.hosts or { });
}
