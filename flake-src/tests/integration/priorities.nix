# Every row of docs/hosts.md holds on its host, and the file that it names exists.
{ standIn, hosts }:
let
  inherit (standIn) lib;
  priorities = import ../priorities.nix;
  rows = import ../rows.nix;
in
{
  everyHostHasItsTable = {
    expr = lib.attrNames priorities;
    expected = lib.attrNames hosts;
  };
}
// lib.listToAttrs (
  lib.concatLists (
    lib.mapAttrsToList (
      host: lines:
      lib.concatMap (
        line:
        map (
          row:
          lib.nameValuePair "${host}: ${line.line}: ${row.option}" {
            expr = {
              holds = rows.holds lib hosts.${host}.config row;
              file = builtins.pathExists (../.. + "/${row.where}");
            };
            expected = {
              holds = true;
              file = true;
            };
          }
        ) line.rows
      ) lines
    ) priorities
  )
)
