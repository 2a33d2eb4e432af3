# pcache, built from this repository, or null where that cannot be: the flake is a
# folder of the repository, and Nix gives it the rest only as a Git tree
# (git+file:///PATH?dir=flake-src, gitlab:GROUP/PROJECT?dir=flake-src), not as
# path:; and nixpkgs of release 25.05 has an older Go than go.mod asks for. Called
# with the flake's inputs and the packages to build with.
{ inputs, pkgs }:
let
  inherit (inputs) self;
  source = self.sourceInfo.outPath;
  wanted = builtins.head (
    builtins.match ".*\ngo ([0-9.]+)\n.*" (builtins.readFile "${source}/go.mod")
  );
  go = pkgs.go_latest or pkgs.go;
in
if source == self.outPath || pkgs.lib.versionOlder go.version wanted then
  null
else
  (pkgs.buildGoLatestModule or pkgs.buildGoModule) rec {
    pname = "pcache";
    version = self.shortRev or self.dirtyShortRev or "dev";
    src = source;
    subPackages = [ "cmd/pcache" ];
    # `make vendor-hash` writes it after a change of go.mod.
    vendorHash = import ./pcache-vendor-hash.nix;
    # They want a real Nix and servers; `make test` runs them.
    doCheck = false;
    env.CGO_ENABLED = 0;
    ldflags = [ "-X main.version=${version}" ];
    nativeBuildInputs = [ pkgs.installShellFiles ];
    # It writes them itself, so it has to run here: not where it is built for
    # another kind of machine.
    postInstall = pkgs.lib.optionalString (pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform) ''
      $out/bin/pcache man man
      installManPage man/*.1
      for shell in bash fish zsh; do
        $out/bin/pcache completion $shell >pcache.$shell
      done
      installShellCompletion pcache.{bash,fish,zsh}
    '';
    meta = {
      description = "Signed binary caches for Nix: push, pull, warm, serve";
      mainProgram = "pcache";
    };
  }
