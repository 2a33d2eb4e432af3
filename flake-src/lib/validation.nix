# validate nixos: what `panther check` looks at on a host, as plain data:
#
#   toplevel  store path of the toplevel's derivation
#   security  the security settings in force
#   services  <plain name> -> whether it runs
#   cis       [ { id; title; status; by; } ], see cis.nix
#   problems  [ { check = "security" | "services" | "cis"; message; } ], what is
#             wrong
#
# Only the options named here are evaluated: to walk all of config.services
# would build packages and trip over options that throw when read. Each option
# is one that every NixOS has, so a name that is misspelt is an error here.
{ lib }:
nixos:
let
  inherit (nixos) config;
  inherit (config.networking) firewall;
  ssh = config.services.openssh;
  sysctl = config.boot.kernel.sysctl;
  # The inputs' options exist only on hosts with the feature.
  optional =
    option: default:
    let
      path = lib.splitString "." option;
    in
    if lib.hasAttrByPath path nixos.options then lib.getAttrFromPath path config else default;

  # The least that the brief's kernel hardening asks for.
  leastSysctl = {
    "fs.protected_hardlinks" = 1;
    "fs.protected_symlinks" = 1;
    "kernel.dmesg_restrict" = 1;
    "kernel.kptr_restrict" = 2;
    "kernel.yama.ptrace_scope" = 1;
  };
  number =
    v:
    if v == true then
      1
    else if v == false then
      0
    else if builtins.isString v then
      lib.toInt v
    else
      v;
  sysctlValue = name: if sysctl.${name} or null == null then null else number sysctl.${name};

  # Ports that no network may reach: databases and the like, which ask nobody
  # for a password.
  private = {
    "5000" = "the container registry";
    "5432" = "PostgreSQL";
    "6379" = "Redis";
    "8080" = "Attic";
    "8501" = "pcache";
    "9090" = "Prometheus";
    "9093" = "Alertmanager";
    "9100" = "the Prometheus node exporter";
    "19532" = "the collector of logs";
  };
  inRanges = port: lib.any (range: range.from <= port && port <= range.to);
  isOpen =
    port: lib.elem port firewall.allowedTCPPorts || inRanges port firewall.allowedTCPPortRanges;

  security = {
    firewall = {
      inherit (firewall) enable;
      backend = if config.networking.nftables.enable then "nftables" else "iptables";
      tcpPorts = lib.sort lib.lessThan firewall.allowedTCPPorts;
      udpPorts = lib.sort lib.lessThan firewall.allowedUDPPorts;
      inherit (firewall) trustedInterfaces filterForward;
    };
    ssh = {
      inherit (ssh) enable;
    }
    // lib.optionalAttrs ssh.enable {
      inherit (ssh) ports;
      permitRootLogin = ssh.settings.PermitRootLogin;
      passwordAuthentication = ssh.settings.PasswordAuthentication;
      keyboardInteractive = ssh.settings.KbdInteractiveAuthentication;
    };
    apparmor = config.security.apparmor.enable;
    auditd = config.security.auditd.enable;
    auditRules = lib.length config.security.audit.rules;
    sudo = {
      inherit (config.security.sudo) enable wheelNeedsPassword execWheelOnly;
    };
    sysctl = lib.mapAttrs (name: _: sysctlValue name) (
      leastSysctl // { "fs.suid_dumpable" = null; }
    );
    inherit (config.security) lockKernelModules protectKernelImage;
  };

  services = {
    dankMaterialShell = optional "programs.dank-material-shell.enable" false;
    greetd = config.services.greetd.enable;
    networkManager = config.networking.networkmanager.enable;
    niri = optional "programs.niri.enable" false;
    nodeExporter = config.services.prometheus.exporters.node.enable;
    opnix = optional "services.onepassword-secrets.enable" false;
    pipewire = config.services.pipewire.enable;
    podman = config.virtualisation.podman.enable;
    postgresql = config.services.postgresql.enable;
    prometheus = config.services.prometheus.enable;
    redis = lib.any (server: server.enable) (lib.attrValues config.services.redis.servers);
    ssh = ssh.enable;
    tailscale = config.services.tailscale.enable;
    tlp = config.services.tlp.enable;
  };

  # Our modules are what meets the benchmark; a system without them is none of
  # this fleet.
  cis = lib.optionals (nixos.options ? pantherOS) (import ./cis.nix { inherit lib; } nixos);

  rules = check: lib.concatMap ({ broken, message }: lib.optional broken { inherit check message; });
  problems =
    rules "security" (
      [
        {
          broken = !firewall.enable;
          message = "the firewall is off: networking.firewall.enable is false";
        }
        {
          broken = ssh.enable && ssh.settings.PermitRootLogin != "no";
          message = "root may log in over SSH: services.openssh.settings.PermitRootLogin is not \"no\"";
        }
        {
          broken = ssh.enable && ssh.settings.PasswordAuthentication != false;
          message = "SSH accepts passwords: services.openssh.settings.PasswordAuthentication is not false";
        }
        {
          broken = ssh.enable && ssh.settings.KbdInteractiveAuthentication != false;
          message = "SSH accepts passwords typed at a prompt: services.openssh.settings.KbdInteractiveAuthentication is not false";
        }
        {
          broken = config.security.sudo.enable && !config.security.sudo.wheelNeedsPassword;
          message = "sudo asks for no password: security.sudo.wheelNeedsPassword is false";
        }
        {
          broken = !config.security.apparmor.enable;
          message = "AppArmor is off: security.apparmor.enable is false";
        }
        {
          broken = !config.security.auditd.enable;
          message = "the audit daemon is off: security.auditd.enable is false";
        }
        {
          broken = number (sysctl."fs.suid_dumpable" or 2) != 0;
          message = "setuid programs leave core dumps: the sysctl fs.suid_dumpable is not 0";
        }
      ]
      ++ lib.mapAttrsToList (name: least: {
        broken = sysctlValue name == null || sysctlValue name < least;
        message = "the sysctl ${name} is ${toString (sysctlValue name)}, at least ${toString least} is wanted";
      }) leastSysctl
      ++ lib.mapAttrsToList (port: what: {
        broken = firewall.enable && isOpen (lib.toInt port);
        message = "port ${port} (${what}) is open to every network";
      }) private
    )
    ++ rules "services" (
      map (port: {
        broken = ssh.enable && firewall.enable && !isOpen port;
        message = "the SSH server listens on port ${toString port}, which the firewall does not open";
      }) ssh.ports
      ++ [
        {
          broken =
            services.tailscale
            && firewall.enable
            && !(lib.elem config.services.tailscale.interfaceName firewall.trustedInterfaces);
          message = "Tailscale is on, but its interface ${config.services.tailscale.interfaceName} is not in networking.firewall.trustedInterfaces: the other machines reach nothing";
        }
        {
          broken =
            services.tailscale
            && lib.elem config.services.tailscale.useRoutingFeatures [
              "client"
              "both"
            ]
            && lib.elem firewall.checkReversePath [
              true
              "strict"
            ];
          message = "Tailscale cannot use exit nodes while networking.firewall.checkReversePath is strict";
        }
        {
          broken = services.prometheus && !services.nodeExporter;
          message = "Prometheus runs, but there is nothing of this machine to record: services.prometheus.exporters.node is off";
        }
        {
          broken = services.niri && !services.greetd;
          message = "niri is on, but no greeter starts it: services.greetd is off";
        }
      ]
    )
    ++ rules "cis" (
      map (item: {
        broken = item.status == "missing";
        message = "CIS ${item.id}, ${item.title}: not met, see ${item.by}";
      }) cis
    );
in
{
  toplevel = builtins.unsafeDiscardStringContext config.system.build.toplevel.drvPath;
  inherit
    security
    services
    cis
    problems
    ;
}
