# ovh-cloud-vps: the server. Small, hardened, watched.
#
# It takes SSH keys only. Whose, is said here:
#   pantherOS.base.users-groups.users.hayden.authorizedKeys = [ "ssh-ed25519 …" ];
# Until one is, the provider's console is the way in.
{
  imports = [ ./hardware-configuration.nix ];

  pantherOS.base.swap-memory.file.size = 4 * 1024;
}
