# Declares `<option>.enable` for every row of ../switches.nix and does what the
# row says.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  rows = lib.mapAttrsToList (option: row: row // { path = lib.splitString "." option; }) (
    import ../switches.nix
  );
  # Not every service lets one choose its package or its port.
  has = row: option: lib.declaredIn [ ../options.nix ] (row.path ++ [ option ]);
  first = row: (lib.getAttrFromPath row.path config).package or pkgs.${lib.head row.packages};
in
{
  options = lib.foldl lib.recursiveUpdate { } (
    map (
      row:
      lib.setAttrByPath row.path (
        {
          enable = lib.mkEnableOption (lib.showOption row.path) // {
            default = row.default or false;
          };
        }
        // lib.optionalAttrs (has row "package") {
          package = lib.mkOption {
            type = lib.types.package;
            default = pkgs.${lib.head row.packages};
          };
        }
        // lib.optionalAttrs (row ? port && has row "port") {
          port = lib.mkOption {
            type = lib.types.port;
            default = row.port;
          };
        }
        // lib.optionalAttrs (row ? opened) {
          openFirewall = lib.mkEnableOption "the service's port in the firewall" // {
            default = row.opened;
          };
        }
      )
    ) rows
  );

  config = lib.mkMerge (
    map (
      row:
      let
        cfg = lib.getAttrFromPath row.path config;
      in
      lib.mkIf cfg.enable {
        environment.systemPackages = [ (first row) ] ++ map (p: pkgs.${p}) (lib.tail row.packages);
        systemd.services = lib.mapAttrs (_: program: {
          description = lib.mkDefault "stand-in for ${lib.showOption row.path}";
          wantedBy = lib.mkDefault [ "multi-user.target" ];
          serviceConfig.ExecStart = lib.mkDefault "${first row}/bin/${program}";
        }) (row.units or { });
        networking.firewall = lib.mkIf (cfg.openFirewall or false) {
          "allowed${row.protocol or "TCP"}Ports" = [ cfg.port or row.port ];
        };
      }
    ) rows
  );
}
