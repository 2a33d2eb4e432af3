# sofa
#
# What this machine alone needs. Its profiles, features and users are in
# hosts.toml, what follows from its hardware in hardware-configuration.nix.
{
  imports = [ ./hardware-configuration.nix ];

  # Who may become root; others of its users can be added.
  pantherOS.base.users-groups.admins = [ "hayden" ];

  # A swap file, in MiB, besides compressed memory: as large as the memory.
  # pantherOS.base.swap-memory.file.size = 16 * 1024;

  # Where it stands, if its clock is not to show UTC.
  # pantherOS.base.time-locale.timeZone = "Europe/Berlin";
}
