# Files below a folder.
{ lib }:
{
  filesystem = {
    pathIsDirectory =
      path: builtins.pathExists path && builtins.readFileType path == "directory";
    listFilesRecursive =
      dir:
      lib.concatLists (
        lib.mapAttrsToList (
          name: kind:
          if kind == "directory" then
            lib.filesystem.listFilesRecursive (dir + "/${name}")
          else
            [ (dir + "/${name}") ]
        ) (builtins.readDir dir)
      );
  };
}
