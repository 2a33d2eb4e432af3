# No setting has a copy: what one file of the flake defines, no other file defines
# again to the same value, on any host. Looked at is every definition, those that
# another one overrides included; in lists every element. What several modules
# need, each where the others are off, is named here with the reason.
{ standIn, hosts }:
let
  inherit (standIn) lib;
  root = toString ../.. + "/";
  folders = [
    "home/"
    "hosts/"
    "modules/"
    "profiles/"
  ];

  # [ { option; file; value; } ] of a module: each leaf of its definitions.
  leaves =
    prefix: definition:
    let
      file = lib.removePrefix root (toString definition.file);
      go =
        loc: value:
        lib.concatMap (
          d:
          if lib.isTree d.value then
            lib.concatLists (lib.mapAttrsToList (name: go (loc ++ [ name ])) d.value)
          else
            map (value: {
              option = lib.concatStringsSep "." loc;
              inherit file value;
            }) (if builtins.isList d.value then d.value else [ d.value ])
        ) (lib.dischargeProperties { inherit file value; });
    in
    lib.optionals (lib.any (folder: lib.hasPrefix folder file) folders) (go prefix definition.value);

  of =
    nixos:
    lib.concatMap (leaves [ ]) nixos.definitions
    ++ lib.concatLists (
      lib.mapAttrsToList (
        user: home:
        lib.concatMap (leaves [
          "home-manager"
          "users"
          user
        ]) home.modules
      ) (nixos.config.home-manager.users or { })
    );

  plain =
    value:
    if lib.isDerivation value then
      lib.getName value
    else if builtins.isFunction value then
      "a function"
    else
      builtins.toJSON value;

  # "option = value" -> the files that say so, where they are several.
  copies =
    nixos:
    lib.filterAttrs (_: files: lib.length files > 1) (
      lib.mapAttrs (_: found: lib.unique (map (leaf: leaf.file) found)) (
        lib.groupBy (
          leaf: builtins.unsafeDiscardStringContext "${leaf.option} = ${plain leaf.value}"
        ) (of nixos)
      )
    );
  all = lib.foldl' (a: b: a // b) { } (map copies (lib.attrValues hosts));

  shared = {
    "environment.systemPackages = brightnessctl" =
      "the panel's light and the keys' are set with it, on machines that have one of them";
    "hardware.enableRedistributableFirmware = true" =
      "wireless hardware does not work without; a workstation has sound and graphics that do not, either";
    "hardware.graphics.enable = true" = "each GPU's drivers are put into it, and the session draws with it";
    "networking.nftables.enable = true" = "the firewall, and the filter of what goes out, are rules of nftables";
    "programs.dconf.enable = true" = "whoever has settings in dconf needs it";
    "services.resolved.enable = true" = "resolvers over TLS are resolved's, and so is what a network hands out";
  };
in
{
  noCopies = {
    expr = removeAttrs all (lib.attrNames shared);
    expected = { };
  };
  # A reason that is no longer needed goes.
  noStaleReasons = {
    expr = lib.subtractLists (lib.attrNames all) (lib.attrNames shared);
    expected = [ ];
  };
}
