# The stand-in package set: `pkgs` of a system. What a package is, package.nix
# says; which there are, sets/*.toml says. None of them is the program whose
# name it bears.
{
  lib,
  system,
  config ? { },
  overlays ? [ ],
}:
let
  base =
    self:
    let
      build = import ./build.nix { inherit lib system; };
      package = import ./package.nix {
        inherit
          lib
          build
          config
          ;
        inherit (self) corpus;
        set = self;
      };
      # sets/<area>.toml: [<kind>], then <name> = row.
      area =
        file:
        lib.concatMapAttrs (
          kind: rows: builtins.mapAttrs (name: row: package name (row // { inherit kind; })) rows
        ) (lib.importTOML file);
    in
    removeAttrs build [ "drv" ]
    // lib.mergeAttrsList (map area (lib.filesystem.listFilesRecursive ./sets))
    // {
      inherit lib config system;
      corpus = build.drv {
        name = "stand-in-corpus";
        script = builtins.readFile ./corpus.sh;
      } { };
      # Files of a kind (see content.sh) that no package has: an initrd, say.
      standInFiles =
        name: lines:
        build.drv {
          inherit name;
          inherit (self) corpus;
          seed = builtins.stringLength lines * 7 + 1;
          script = builtins.readFile ./content.sh + lines;
        } { };

      stdenv.hostPlatform = {
        inherit system;
        isLinux = true;
        isx86_64 = lib.hasPrefix "x86_64" system;
        isAarch64 = lib.hasPrefix "aarch64" system;
        isx86 = lib.hasPrefix "x86_64" system || lib.hasPrefix "i686" system;
      };
      stdenvNoCC = self.stdenv;
      runtimeShell = "${self.bash}/bin/bash";
      linuxPackages = self.linuxPackagesFor self.linux;
      linuxPackages_latest = self.linuxPackagesFor self.linux_latest;
      linuxPackagesFor = kernel: {
        inherit kernel;
        inherit (self) stdenv;
        nvidiaPackages = {
          stable = self.nvidia-x11;
          production = self.nvidia-x11;
        };
      };
      nerd-fonts = {
        jetbrains-mono = self.nerd-fonts-jetbrains-mono;
      };
      cudaPackages = {
        cuda_cudart = self.cuda-cudart;
        cuda_nvcc = self.cuda-nvcc;
      };
      hunspellDicts = {
        en_GB-ise = self.hunspell-dict-en-gb-ise;
        en_US = self.hunspell-dict-en-us;
      };
      jetbrains.goland = self.goland;
      vscode-extensions = {
        golang.go = self.vscode-go;
        jnoortheen.nix-ide = self.vscode-nix-ide;
        mkhl.direnv = self.vscode-direnv;
      };
      kdePackages = { };
      gnome = { };
    };
in
lib.fix (builtins.foldl' (f: overlay: lib.extends overlay f) base overlays)
