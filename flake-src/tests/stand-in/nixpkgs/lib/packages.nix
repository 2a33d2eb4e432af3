# What one asks of a package: its outputs, its main program, its name.
{ lib }:
{
  getOutput = output: pkg: if pkg ? outputs then pkg.${output} or pkg.out or pkg else pkg;
  getBin = lib.getOutput "bin";
  getLib = lib.getOutput "lib";
  getDev = lib.getOutput "dev";
  getMan = lib.getOutput "man";

  getName =
    x: if builtins.isString x then (builtins.parseDrvName x).name else x.pname or (builtins.parseDrvName x.name).name;
  getVersion =
    x:
    if builtins.isString x then
      (builtins.parseDrvName x).version
    else
      x.version or (builtins.parseDrvName x.name).version;

  getExe' = pkg: program: "${lib.getBin pkg}/bin/${program}";
  getExe = pkg: lib.getExe' pkg (pkg.meta.mainProgram or (lib.getName pkg));

  makeSearchPath =
    folder: lib.concatMapStringsSep ":" (pkg: "${pkg}/${folder}");
  makeBinPath = pkgs: lib.makeSearchPath "bin" (map lib.getBin pkgs);
  makeLibraryPath = pkgs: lib.makeSearchPath "lib" (map lib.getLib pkgs);
}
