# Facts about hardware as the machine itself tells them, in the form that NixOS
# wants: types for options.
{ lib }:
let
  hex = digits: toString (builtins.fromTOML "n = 0x${digits}").n;
in
rec {
  # busId address: lspci's address (hexadecimal, with or without a domain of
  # zeros) as the NVIDIA driver wants it: 01:00.0 is PCI:1:0:0.
  busId =
    address:
    let
      parts = builtins.match "(0000:)?([0-9a-f]{2}):([0-9a-f]{2})\\.([0-7])" address;
    in
    if parts == null then
      throw "\"${address}\" is no PCI address as lspci prints it, like 01:00.0"
    else
      "PCI:${lib.concatMapStringsSep ":" hex (lib.drop 1 parts)}";

  types = {
    # A disk or a partition.
    disk = lib.types.strMatching "/dev/[A-Za-z0-9/_.:+-]+";

    # A GPU's place on the bus, as the driver wants it or as lspci prints it.
    busId = lib.types.coercedTo (lib.types.strMatching "(0000:)?[0-9a-f]{2}:[0-9a-f]{2}\\.[0-7]") busId (
      lib.types.strMatching "PCI:[0-9]+:[0-9]+:[0-9]+"
    );
  };
}
