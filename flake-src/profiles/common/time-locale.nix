# Every machine: the clock in UTC, English. A host or a person who lives
# elsewhere says so in pantherOS.base.time-locale.
{ lib, ... }:
{
  pantherOS.base.time-locale.enable = lib.mkDefault true;
}
