# Accounts at the console: a wrong password locks for a while, a good one is asked
# for, root has none, new files are private, and what was done with sudo is
# written down.
{
  name = "pantheros-accounts";

  nodes.machine = {
    pantherOS = {
      base.users-groups = {
        enable = true;
        users.hayden = { };
        admins = [ "hayden" ];
      };
      security = {
        audit.security-logging.enable = true;
        hardening.user-security = {
          enable = true;
          lockSeconds = 30;
        };
      };
      services.maintenance.enable = true;
    };
  };

  testScript = ''
    password = "correct horse battery 7"

    def login(secret):
        # A fresh screen: what it waits for is not from the time before.
        machine.succeed("systemctl restart getty@tty1.service")
        machine.wait_until_tty_matches("1", "login: ")
        machine.send_chars("hayden\n")
        machine.wait_until_tty_matches("1", "Password: ")
        machine.send_chars(secret + "\n")

    machine.wait_for_unit("multi-user.target")
    machine.succeed(f"echo 'hayden:{password}' | chpasswd")

    with subtest("a weak password is refused, for root's sake too"):
        machine.fail("printf 'abc\nabc\n' | passwd hayden")
        machine.fail("printf 'aaaaaaaaaaaaaaaaaaaa\naaaaaaaaaaaaaaaaaaaa\n' | passwd hayden")

    with subtest("root cannot log in"):
        machine.succeed("grep -q '^root:!' /etc/shadow")

    with subtest("wrong passwords lock the account, and time opens it"):
        for n in range(1, 6):
            login("wrong")
            machine.wait_until_succeeds(f"test $(faillock --user hayden | grep -c 'V$') -ge {n}")
        login(password)
        machine.wait_until_tty_matches("1", "Login incorrect")
        machine.sleep(31)
        login(password)
        machine.wait_until_tty_matches("1", "hayden@machine")

    with subtest("new files are private"):
        machine.send_chars("touch private && sync\n")
        machine.wait_until_succeeds("test $(stat -c %a ~hayden/private) = 640")

    with subtest("sudo asks, and is written down"):
        machine.send_chars("sudo true\n")
        machine.wait_until_tty_matches("1", "password for hayden")
        machine.send_chars(password + "\n")
        machine.wait_until_succeeds("grep -q COMMAND=.*true /var/log/sudo.log")

    with subtest("maintenance says that all is well, then what is not"):
        machine.succeed("panther-maintenance daily")
        machine.succeed("systemd-run --unit broken --property Type=oneshot false || true")
        out = machine.fail("panther-maintenance daily 2>&1")
        assert "broken.service" in out, out
  '';
}
