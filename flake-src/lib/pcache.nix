# pcache, built from this repository, or null where the flake does not see it:
# the flake is a folder of the repository, and Nix gives it the rest only as a
# Git tree (git+file:///PATH?dir=flake-src, gitlab:GROUP/PROJECT?dir=flake-src),
# not as path:. Called with the flake's inputs and the packages to build with.
{ inputs, pkgs }:
let
  inherit (inputs) self;
  source = self.sourceInfo.outPath;
in
if source == self.outPath then
  null
else
  # The repository's go.mod says which Go it needs at least.
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
