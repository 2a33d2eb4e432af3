# ovh-cloud-vps: the server. Small, hardened, watched.
{
  imports = [ ./hardware-configuration.nix ];

  pantherOS.base.swap-memory.file.size = 4 * 1024;
}
