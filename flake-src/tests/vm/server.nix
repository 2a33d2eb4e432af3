# A hardened server and a stranger: SSH lets nobody in by password, the firewall
# shows nothing else, figures are taken, and the kernel's settings are in force.
{
  name = "pantheros-server";

  nodes.server = {
    pantherOS = {
      base.users-groups = {
        enable = true;
        users.hayden = { };
        admins = [ "hayden" ];
      };
      security = {
        audit.auditd.enable = true;
        firewall = {
          logging.enable = true;
          nftables.enable = true;
          rules.enable = true;
        };
        hardening = {
          kernel.enable = true;
          user-security.enable = true;
        };
        secrets.ssh-hardening.enable = true;
      };
      services = {
        databases.postgresql.enable = true;
        monitoring.metrics.enable = true;
      };
    };
  };

  nodes.stranger =
    { pkgs, ... }:
    {
      environment.systemPackages = [
        pkgs.netcat
        pkgs.sshpass
      ];
    };

  testScript = ''
    start_all()
    server.wait_for_unit("multi-user.target")
    stranger.wait_for_unit("multi-user.target")

    with subtest("SSH answers, and takes no password"):
        server.wait_for_open_port(22)
        stranger.wait_until_succeeds("nc -z -w 2 server 22")
        server.succeed("echo hayden:long-enough-for-this | chpasswd")
        stranger.fail(
            "sshpass -p long-enough-for-this ssh -o StrictHostKeyChecking=no hayden@server true"
        )

    with subtest("nothing else is reachable"):
        server.wait_for_unit("postgresql.service")
        server.wait_for_unit("prometheus.service")
        for port in [5432, 9090, 9100]:
            stranger.fail(f"nc -z -w 2 server {port}")

    with subtest("figures are taken"):
        server.wait_for_open_port(9100)
        server.succeed("curl -sf http://127.0.0.1:9100/metrics | grep -q node_load1")

    with subtest("the kernel is hardened"):
        server.succeed("test $(sysctl -n kernel.kptr_restrict) = 2")
        server.succeed("test $(sysctl -n kernel.dmesg_restrict) = 1")
        server.succeed("aa-enabled")
        server.fail("modprobe cramfs")
        server.succeed("auditctl -l | grep -q identity")
  '';
}
