# The local side of pcache: what the units run, what Nix asks, what is refused.
{ standIn, ... }:
let
  inherit (standIn) lib fails;
  publicKey = "cache.example.org-1:kd0mYLxYvCGpHoFu3E/X5zHYyHBDsGl9CHjz+i4Jh4c=";
  pcache = derivation {
    name = "pcache";
    system = "x86_64-linux";
    builder = "/bin/sh";
  };
  system =
    settings:
    standIn.system {
      modules = standIn.modules ++ [
        {
          pantherOS.services.cache.local-cache = {
            enable = true;
            package = lib.mkDefault pcache;
            caches.fleet = {
              url = "https://cache.example.org";
              inherit publicKey;
            };
          };
        }
        { pantherOS.services.cache.local-cache = settings; }
      ];
    };
  config = settings: (system settings).config;
  exec =
    unit: settings:
    lib.replaceStrings [ "${pcache}" ] [ "PCACHE" ]
      (config settings).systemd.services.${unit}.serviceConfig.ExecStart;
  is = expr: expected: { inherit expr expected; };
  refused = settings: is (fails (system settings).config.system.build.toplevel.drvPath) true;
  serve.serve.enable = true;
  warm.warm.enable = true;
in
{
  nixAsksTheCache = is (config { }).nix.settings.extra-substituters [ "https://cache.example.org" ];
  andTrustsItsKey = is (config { }).nix.settings.extra-trusted-public-keys [ publicKey ];
  nixAsksTheServerFirst = is (config serve).nix.settings.extra-substituters [
    "http://127.0.0.1:8501"
    "https://cache.example.org"
  ];
  nothingRunsUnasked = is (lib.filter (lib.hasPrefix "pcache") (
    lib.attrNames (config { }).systemd.services
  )) [ ];
  serves = is (exec "pcache-serve" serve) "PCACHE/bin/pcache serve --local /var/cache/pcache --local-size 20GiB --public-key '${publicKey}' --public-key 'cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=' https://cache.example.org https://cache.nixos.org";
  systemdListens = is (config serve).systemd.sockets.pcache-serve.socketConfig.ListenStream "127.0.0.1:8501";
  notAsRoot = is (config serve).systemd.services.pcache-serve.serviceConfig.DynamicUser true;
  warmsTheStore = is (exec "pcache-warm" warm) "PCACHE/bin/pcache warm https://cache.example.org test --to store";
  warmsWhatIsServed = is (exec "pcache-warm" (serve // warm)) "PCACHE/bin/pcache warm https://cache.example.org test --to /var/cache/pcache --max-size 20GiB --public-key '${publicKey}'";
  warmHasATimer = is (config warm).systemd.services.pcache-warm.startAt [ "hourly" ];
  pushesWhatIsBuilt =
    is
      (
        (config {
          push = {
            cache = "file:///srv/cache";
            secretKeyFile = "/var/lib/pcache/key";
          };
        }).nix.settings ? post-build-hook
      )
      true;
  everythingFits = is (fails (system (serve // warm)).config.system.build.toplevel.drvPath) false;

  # Given as path:, the flake does not see the Go source.
  noPackage = refused (serve // { package = null; });
  warmFromNowhere = refused (warm // { caches = lib.mkForce { }; });
}
