# Databases for the services of this machine.
{ lib, ... }:
{
  pantherOS.services.databases = {
    postgresql.enable = lib.mkDefault true;
    redis.enable = lib.mkDefault true;
  };
}
