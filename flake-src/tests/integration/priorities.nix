# Every row of docs/hosts.md holds on its host, and the file that it names exists.
{ standIn, hosts }:
let
  inherit (standIn) lib;
  priorities = import ../priorities.nix;
  holds =
    host: row:
    let
      # A path has dots between its parts, and file systems have none in theirs.
      value = lib.attrByPath (lib.splitString "." row.option) "<no such option>" hosts.${host}.config;
    in
    if row ? is then
      value == row.is
    else if row ? has then
      if builtins.isString value then lib.hasInfix row.has value else lib.elem row.has value
    else
      value != "<no such option>" && value != null && value != [ ] && value != { };
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
              holds = holds host row;
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
