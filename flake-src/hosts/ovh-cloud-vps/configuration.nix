# ovh-cloud-vps: the server. Small, hardened, watched, backed up.
#
# It takes SSH keys only. Whose, is said here:
#   pantherOS.base.users-groups.users.hayden.authorizedKeys = [ "ssh-ed25519 …" ];
# Until one is, the provider's console is the way in.
{
  imports = [ ./hardware-configuration.nix ];

  pantherOS.base.swap-memory.file.size = 4 * 1024;

  pantherOS.services.backup = {
    enable = true;
    # Assumed: names of buckets are unique in all of B2, so it may be taken.
    bucket = "pantheros-backups";
  };
}
