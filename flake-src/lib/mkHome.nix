# mkHome { host; user; }: the Home Manager module of a user on a host. It is
# the user's own configuration, home/<user>, with what the host's home.nix adds
# for everybody who uses that machine.
{ lib }:
{ host, user }:
let
  own = ../home + "/${user}";
  hosts = ../hosts + "/${host.name}/home.nix";
in
{
  _file = "lib/mkHome.nix";
  imports = [
    (
      if builtins.pathExists own then
        own
      else
        throw "hosts.toml: the user ${user} of the host ${host.name} has no folder home/${user}"
    )
  ]
  ++ lib.optional (builtins.pathExists hosts) hosts;

  home.stateVersion = host.stateVersion;
}
