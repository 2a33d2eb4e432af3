# Services agree with the firewall on every host: what the brief lets in is open,
# and nothing else is; what listens for the fleet alone is reached over Tailscale.
{ standIn, hosts }:
let
  inherit (standIn) lib;
  firewall = host: hosts.${host}.config.networking.firewall;
  of = f: lib.mapAttrs (host: _: f host) hosts;
  same =
    f: value: {
      expr = of f;
      expected = lib.mapAttrs (_: _: value) hosts;
    };
  server = "ovh-cloud-vps";
  everywhere = [
    5000
    5432
    6379
    8080
    8501
    9090
    9093
    9100
    19532
  ];
in
{
  # Only the server answers strangers, and only to SSH.
  tcp = {
    expr = of (host: (firewall host).allowedTCPPorts);
    expected = lib.mapAttrs (host: _: if host == server then [ 22 ] else [ ]) hosts;
  };
  enabled = same (host: (firewall host).enable) true;
  nftables = same (host: hosts.${host}.config.networking.nftables.enable) true;
  forwardingIsFiltered = same (host: (firewall host).filterForward) true;
  tailscaleIsTrusted = same (host: lib.elem "tailscale0" (firewall host).trustedInterfaces) true;
  nothingPrivateIsOpen = same (host: lib.intersectLists everywhere (firewall host).allowedTCPPorts) [ ];
  sshListensWhereItIsOpen = {
    expr = hosts.${server}.config.services.openssh.ports;
    expected = (firewall server).allowedTCPPorts;
  };
  # The collector that workstations send their logs to is the host that takes them.
  logsArrive = {
    expr = lib.unique (
      lib.mapAttrsToList (_: nixos: nixos.config.pantherOS.services.monitoring.logging.collector) (
        removeAttrs hosts [ server ]
      )
    );
    expected = [ server ];
  };
  andAreTaken = {
    expr = hosts.${server}.config.pantherOS.services.monitoring.logging.receive;
    expected = true;
  };
}
