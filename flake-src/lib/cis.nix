# cis nixos: the items of level 1 of the CIS benchmark for Debian 12 (v1.1.0),
# which is the nearest to NixOS that there is a benchmark for, and how the host
# stands to each: [ { id; title; status; by; } ] in the benchmark's order.
#
#   done            by says which option does it
#   inherent        every NixOS is so, by says why: argued, not measured
#   missing         this host must meet it and does not; by says what to set
#   not-applicable  by says why
#   not-done        on purpose; by says why
#
# docs/cis.md is the same as a table. Titles are ours.
{ lib }:
nixos:
let
  inherit (nixos) config;
  # Not every release has every option, and some have no value.
  get =
    option: default:
    let
      found = builtins.tryEval (lib.attrByPath (lib.splitString "." option) default config);
    in
    if found.success then found.value else default;
  on = option: get "${option}.enable" false == true;

  # Somebody sits at it: the benchmark asks other things of servers.
  workstation = on "services.greetd";
  ssh = config.services.openssh;

  item = status: id: title: by: { inherit id title status by; };
  na = item "not-applicable";
  not = item "not-done";
  inherent = item "inherent";
  # must id title by holds: what this host has to meet.
  must =
    id: title: by: holds:
    item (if holds then "done" else "missing") id title by;
  onServers =
    id: title: by: holds:
    if workstation then
      na id title "level 2 on a workstation"
    else
      must id title by holds;
  withSsh =
    id: title: by: holds:
    if ssh.enable then must id title by holds else na id title "no SSH server runs";

  sysctl =
    name: wanted:
    lib.elem (config.boot.kernel.sysctl.${name} or null) (
      [
        wanted
        (toString wanted)
      ]
      ++ lib.optional (wanted == 1) true
      ++ lib.optional (wanted == 0) false
    );
  sysctls = names: wanted: lib.all (name: sysctl name wanted) names;
  both = family: name: [
    "net.${family}.conf.all.${name}"
    "net.${family}.conf.default.${name}"
  ];
  kernel = "pantherOS.security.hardening.kernel.enable";
  users = "pantherOS.security.hardening.user-security.enable";
  server = "pantherOS.security.secrets.ssh-hardening.enable";
  logging = "pantherOS.security.audit.security-logging.enable";

  blocked = name: lib.hasInfix "install ${name} " config.boot.extraModprobeConfig;
  module = id: name: must id "kernel module ${name} blocked" kernel (blocked name);
  mounted = path: config.fileSystems ? ${path};
  has = path: option: lib.elem option (config.fileSystems.${path}.options or [ ]);
  onPartition =
    id: path: option:
    if mounted path then
      must id "${option} on ${path}" "pantherOS.base.file-systems.enable" (has path option)
    else
      not id "${option} on ${path}" "one file system for the whole small disk: ${path} has none of its own";
  own =
    id: path: by:
    if mounted path then
      must id "${path} has a file system of its own" "pantherOS.base.file-systems.enable" true
    else
      not id "${path} has a file system of its own" by;
  oneDisk = "one file system for the whole small disk, lest one part of it is full while another is empty";

  pam = service: kind: name: get "security.pam.services.${service}.rules.${kind}" { } ? ${name};
  pamSetting =
    name: wanted:
    get "security.pam.services.passwd.rules.password.panther-pwquality.settings.${name}" null == wanted;
  sudoers = line: lib.hasInfix line config.security.sudo.extraConfig;
  journald = line: lib.hasInfix line (get "services.journald.extraConfig" "");
  setting = name: ssh.settings.${name} or null;
  # Sets of algorithms that NixOS leaves out already, in case somebody adds one.
  weak =
    name: pattern:
    lib.any (algorithm: builtins.match pattern algorithm != null) (
      if setting name == null then [ ] else setting name
    );
  unused =
    id: what: options:
    must id "no ${what}" "${lib.concatMapStringsSep ", " (o: "${o}.enable") options}: off" (
      !(lib.any on options)
    );
  notInStore = "Nix sets owner and mode of everything in the store; nothing there can be written to";
in
[
  (module "1.1.1.1" "cramfs")
  (module "1.1.1.2" "freevxfs")
  (module "1.1.1.3" "hfs")
  (module "1.1.1.4" "hfsplus")
  (module "1.1.1.5" "jffs2")
  (onServers "1.1.1.9" "USB disks blocked" "pantherOS.security.hardening.kernel.usbStorage: off" (
    blocked "usb-storage"
  ))
  (must "1.1.1.10" "other unused file systems blocked" "pantherOS.security.hardening.kernel.blockedModules" (
    blocked "cramfs"
  ))
  (must "1.1.2.1.1" "/tmp has a file system of its own" kernel (get "boot.tmp.useTmpfs" false))
  (must "1.1.2.1.2" "nodev on /tmp" kernel (get "boot.tmp.useTmpfs" false))
  (must "1.1.2.1.3" "nosuid on /tmp" kernel (get "boot.tmp.useTmpfs" false))
  (not "1.1.2.1.4" "noexec on /tmp" "installers, build tools and `nix-shell` run what they put there")
  (inherent "1.1.2.2.1" "/dev/shm has a file system of its own" "NixOS")
  (inherent "1.1.2.2.2" "nodev on /dev/shm" "NixOS")
  (inherent "1.1.2.2.3" "nosuid on /dev/shm" "NixOS")
  (must "1.1.2.2.4" "noexec on /dev/shm" kernel (
    lib.elem "noexec" (get "boot.specialFileSystems./dev/shm.options" [ ])
  ))
  (own "1.1.2.3.1" "/home" oneDisk)
  (onPartition "1.1.2.3.2" "/home" "nodev")
  (onPartition "1.1.2.3.3" "/home" "nosuid")
  (own "1.1.2.4.1" "/var" "what grows in it, the logs, is bounded by ${logging} and elsewhere apart")
  (onPartition "1.1.2.4.2" "/var" "nodev")
  (onPartition "1.1.2.4.3" "/var" "nosuid")
  (own "1.1.2.5.1" "/var/tmp" "large builds and containers use it and want the whole disk")
  (onPartition "1.1.2.5.2" "/var/tmp" "nodev")
  (onPartition "1.1.2.5.3" "/var/tmp" "nosuid")
  (onPartition "1.1.2.5.4" "/var/tmp" "noexec")
  (own "1.1.2.6.1" "/var/log" oneDisk)
  (onPartition "1.1.2.6.2" "/var/log" "nodev")
  (onPartition "1.1.2.6.3" "/var/log" "nosuid")
  (onPartition "1.1.2.6.4" "/var/log" "noexec")
  (own "1.1.2.7.1" "/var/log/audit" "its size is bounded by pantherOS.security.audit.auditd.logSize and logs")
  (onPartition "1.1.2.7.2" "/var/log/audit" "nodev")
  (onPartition "1.1.2.7.3" "/var/log/audit" "nosuid")
  (onPartition "1.1.2.7.4" "/var/log/audit" "noexec")

  (must "1.2.1.1" "packages are signed" "nix.settings.require-sigs" (
    get "nix.settings.require-sigs" true != false
  ))
  (inherent "1.2.1.2" "sources of packages are configured" "flake.lock: revision and hash of each")
  (not "1.2.2.1" "updates are installed" "by hand or by the pipeline: an update is a commit that is built, tested and can be rolled back")
  (must "1.3.1.1" "AppArmor is installed" kernel config.security.apparmor.enable)
  (must "1.3.1.2" "AppArmor is on from boot" kernel config.security.apparmor.enable)
  (must "1.3.1.3" "AppArmor profiles enforce or complain" kernel config.security.apparmor.enable)
  (not "1.4.1" "the boot loader has a password" "a server is restarted with nobody there; on workstations the disk's passphrase comes before anything, and the menu's editor is off")
  (must "1.4.2" "access to the boot loader's configuration" "pantherOS.base.boot-loader.enable: no editor, /boot for root alone" (
    if on "boot.loader.systemd-boot" then get "boot.loader.systemd-boot.editor" true == false else true
  ))
  (must "1.5.1" "address space is randomized" kernel (sysctl "kernel.randomize_va_space" 2))
  (must "1.5.2" "ptrace is restricted" kernel (sysctl "kernel.yama.ptrace_scope" 1))
  (must "1.5.3" "core dumps are restricted" kernel (
    sysctl "fs.suid_dumpable" 0 && get "systemd.coredump.enable" true == false
  ))
  (na "1.5.4" "prelink is not installed" "there is none in nixpkgs, and the store cannot be changed")
  (na "1.5.5" "no automatic error reports" "NixOS sends none")
  (must "1.6.1" "message of the day names no version" "NixOS: there is none" (
    !(lib.hasInfix "NixOS" (toString (get "users.motd" "")))
  ))
  (must "1.6.2" "warning before a local login" "pantherOS.security.hardening.user-security.banner" (
    !(lib.hasInfix "\\" (get "services.getty.greetingLine" "\\"))
  ))
  (withSsh "1.6.3" "warning before a remote login" "pantherOS.security.hardening.user-security.banner" (
    setting "Banner" != null
  ))
  (inherent "1.6.4" "access to /etc/motd" notInStore)
  (inherent "1.6.5" "access to /etc/issue" notInStore)
  (na "1.6.6" "access to /etc/issue.net" "there is none: SSH has its own, see 1.6.3")
]
++ map
  (
    id:
    let
      gdm = get "services.displayManager.gdm.enable" false == true;
    in
    must id "GDM's settings" "services.displayManager.gdm.enable: off, greetd greets" (!gdm)
  )
  [
    "1.7.2"
    "1.7.3"
    "1.7.4"
    "1.7.5"
    "1.7.6"
    "1.7.7"
    "1.7.8"
    "1.7.9"
    "1.7.10"
  ]
++ [
  (onServers "2.1.1" "no automounter" "services.autofs.enable: off" (!(on "services.autofs")))
  (onServers "2.1.2" "no Avahi" "services.avahi.enable: off" (!(on "services.avahi")))
  (unused "2.1.3" "DHCP server" [
    "services.kea.dhcp4"
    "services.kea.dhcp6"
  ])
  (unused "2.1.4" "DNS server for others" [
    "services.bind"
    "services.nsd"
    "services.knot"
  ])
  (unused "2.1.5" "dnsmasq" [ "services.dnsmasq" ])
  (unused "2.1.6" "FTP server" [
    "services.vsftpd"
    "services.proftpd"
  ])
  (unused "2.1.7" "LDAP server" [ "services.openldap" ])
  (unused "2.1.8" "IMAP or POP server" [ "services.dovecot2" ])
  (unused "2.1.9" "NFS server" [ "services.nfs.server" ])
  (na "2.1.10" "no NIS server" "NixOS has none")
  (onServers "2.1.11" "no print server" "services.printing.enable: off" (!(on "services.printing")))
  (unused "2.1.12" "rpcbind" [ "services.rpcbind" ])
  (unused "2.1.13" "rsync daemon" [ "services.rsyncd" ])
  (unused "2.1.14" "Samba" [ "services.samba" ])
  (unused "2.1.15" "SNMP daemon" [ "services.snmpd" ])
  (unused "2.1.16" "TFTP server" [
    "services.tftpd"
    "services.atftpd"
  ])
  (unused "2.1.17" "web proxy" [ "services.squid" ])
  (
    let
      web = lib.filter on [
        "services.nginx"
        "services.caddy"
        "services.httpd"
      ];
    in
    if web == [ ] then
      must "2.1.18" "no web server" "services.nginx.enable, services.caddy.enable, services.httpd.enable: off" true
    else
      not "2.1.18" "no web server" "${lib.concatStringsSep ", " web} serves what this host is there for"
  )
  (unused "2.1.19" "xinetd" [ "services.xinetd" ])
  (must "2.1.20" "no X server" "profiles/workstation/gui: Wayland only" (
    !(on "services.displayManager.gdm") && !(on "services.xserver")
  ))
  (unused "2.1.21" "mail server for others" [
    "services.postfix"
    "services.exim"
    "services.opensmtpd"
  ])
  (must "2.1.22" "only known services are reachable" "pantherOS.security.firewall.nftables.enable, and the ports in this check's security.firewall" config.networking.firewall.enable)
]
++
  lib.imap1
    (n: what: na "2.2.${toString n}" "no ${what} client" "not installed: a system has only what its configuration names")
    [
      "NIS"
      "rsh"
      "talk"
      "telnet"
      "LDAP"
      "FTP"
    ]
++ [
  (must "2.3.1.1" "one service keeps the time" "pantherOS.base.time-locale.enable" (
    config.services.timesyncd.enable && !(on "services.chrony") && !(on "services.ntp")
  ))
  (inherent "2.3.2.1" "known time servers" "networking.timeServers, NixOS's pool")
  (must "2.3.2.2" "systemd-timesyncd runs" "pantherOS.base.time-locale.enable" config.services.timesyncd.enable)
  (na "2.3.3.1" "chrony's servers" "systemd-timesyncd is used")
  (na "2.3.3.2" "chrony's user" "systemd-timesyncd is used")
  (na "2.3.3.3" "chrony runs" "systemd-timesyncd is used")
]
++ map (n: na "2.4.1.${toString n}" "cron" "there is no cron: timers of systemd") (lib.range 1 8)
++ [
  (na "2.4.2.1" "at" "there is no at")

  (inherent "3.1.1" "IPv6 is known about" "on, with the firewall in both families (inet)")
  (if workstation then
    na "3.1.2" "no wireless" "for servers"
  else
    must "3.1.2" "no wireless" "networking.wireless.enable: off" (!(on "networking.wireless")))
  (onServers "3.1.3" "no Bluetooth" "hardware.bluetooth.enable: off" (!(on "hardware.bluetooth")))
  (
    if sysctl "net.ipv4.conf.all.forwarding" 1 || sysctl "net.ipv4.ip_forward" 1 then
      not "3.3.1" "nothing is forwarded" "containers and Tailscale's routes need it; pantherOS.security.firewall.nftables drops what they do not name"
    else
      must "3.3.1" "nothing is forwarded" "NixOS" true
  )
  (must "3.3.2" "no redirects sent" kernel (sysctls (both "ipv4" "send_redirects") 0))
  (must "3.3.3" "bogus ICMP errors ignored" kernel (sysctl "net.ipv4.icmp_ignore_bogus_error_responses" 1))
  (must "3.3.4" "no answer to broadcast pings" kernel (sysctl "net.ipv4.icmp_echo_ignore_broadcasts" 1))
  (must "3.3.5" "no redirects accepted" kernel (
    sysctls (both "ipv4" "accept_redirects" ++ both "ipv6" "accept_redirects") 0
  ))
  (must "3.3.6" "no secure redirects accepted" kernel (sysctls (both "ipv4" "secure_redirects") 0))
  (must "3.3.7" "reverse path filter" "networking.firewall.checkReversePath, in nftables for both families" (
    config.networking.firewall.checkReversePath != false
  ))
  (must "3.3.8" "no source routes accepted" kernel (
    sysctls (both "ipv4" "accept_source_route" ++ both "ipv6" "accept_source_route") 0
  ))
  (must "3.3.9" "strange packets are logged" kernel (sysctls (both "ipv4" "log_martians") 1))
  (must "3.3.10" "SYN cookies" kernel (sysctl "net.ipv4.tcp_syncookies" 1))
  (not "3.3.11" "no router advertisements accepted" "IPv6 addresses come by them, at home as at the provider's")

  (must "4.1.1" "one firewall" "pantherOS.security.firewall.nftables.enable" (
    config.networking.nftables.enable && config.networking.firewall.enable
  ))
]
++ map (n: na "4.2.${toString n}" "ufw" "nftables is used") (lib.range 1 7)
++ [
  (must "4.3.1" "nftables is installed" "pantherOS.security.firewall.nftables.enable" config.networking.nftables.enable)
  (na "4.3.2" "ufw is not used" "there is none")
  (na "4.3.3" "no rules of iptables" "NixOS loads no iptables rules with nftables on")
  (must "4.3.4" "a table exists" "networking.nftables.tables.nixos-fw" config.networking.firewall.enable)
  (must "4.3.5" "base chains exist" "networking.nftables.tables.nixos-fw" config.networking.firewall.enable)
  (must "4.3.6" "loopback traffic" "pantherOS.security.firewall.rules.enable" (
    lib.hasInfix "127.0.0.0/8" (get "networking.nftables.tables.panther-policy.content" "")
  ))
  (must "4.3.7" "outgoing and established connections" "pantherOS.security.firewall.nftables.enable" config.networking.firewall.enable)
  (must "4.3.8" "everything else is dropped" "pantherOS.security.firewall.nftables.enable" (
    config.networking.firewall.enable && config.networking.firewall.filterForward
  ))
  (must "4.3.9" "the firewall starts by itself" "pantherOS.security.firewall.nftables.enable" config.networking.nftables.enable)
  (inherent "4.3.10" "its rules are permanent" "the system's generation")
]
++ map (n: na "4.4.${toString n}" "iptables" "nftables is used") (lib.range 1 3)
++ [
  (inherent "5.1.1" "access to sshd_config" notInStore)
  (inherent "5.1.2" "access to the server's private keys" "made with mode 0600, the vault's with 0400")
  (inherent "5.1.3" "access to the server's public keys" "made with mode 0644")
  (withSsh "5.1.4" "who may log in" "pantherOS.security.secrets.ssh-hardening.groups" (
    setting "AllowGroups" != null || setting "AllowUsers" != null
  ))
  (withSsh "5.1.5" "banner" "pantherOS.security.hardening.user-security.banner" (setting "Banner" != null))
  (withSsh "5.1.6" "strong ciphers" "services.openssh.settings.Ciphers, NixOS's" (
    !(weak "Ciphers" "(.*-cbc|arcfour.*|3des.*)")
  ))
  (withSsh "5.1.7" "silent connections end" server (
    setting "ClientAliveInterval" != null && setting "ClientAliveCountMax" != null
  ))
  (withSsh "5.1.8" "no forwarding" "X11 and agents off (${server}); ports stay, the account has a shell anyway" (
    setting "X11Forwarding" == false && setting "AllowAgentForwarding" == false
  ))
  (withSsh "5.1.9" "no GSSAPI" "OpenSSH's default" (setting "GSSAPIAuthentication" != true))
  (withSsh "5.1.10" "no host-based logins" server (setting "HostbasedAuthentication" == false))
  (withSsh "5.1.11" "rhosts are ignored" server (setting "IgnoreRhosts" == true))
  (withSsh "5.1.12" "strong key exchange" "services.openssh.settings.KexAlgorithms, NixOS's" (
    !(weak "KexAlgorithms" ".*-sha1")
  ))
  (withSsh "5.1.13" "time to log in" server (
    setting "LoginGraceTime" != null && setting "LoginGraceTime" <= 60
  ))
  (withSsh "5.1.14" "what is logged" server (
    lib.elem (setting "LogLevel") [
      "INFO"
      "VERBOSE"
    ]
  ))
  (withSsh "5.1.15" "strong MACs" "services.openssh.settings.Macs, NixOS's" (
    !(weak "Macs" "(hmac-md5.*|hmac-sha1.*|umac-64.*)")
  ))
  (withSsh "5.1.16" "few tries" server (setting "MaxAuthTries" != null && setting "MaxAuthTries" <= 4))
  (withSsh "5.1.17" "few sessions" server (setting "MaxSessions" != null && setting "MaxSessions" <= 10))
  (withSsh "5.1.18" "few unfinished logins" server (setting "MaxStartups" != null))
  (withSsh "5.1.19" "no empty passwords" server (setting "PermitEmptyPasswords" == false))
  (withSsh "5.1.20" "root does not log in" server (setting "PermitRootLogin" == "no"))
  (withSsh "5.1.21" "no environment of the user's" server (setting "PermitUserEnvironment" == false))
  (withSsh "5.1.22" "PAM is used" "NixOS" (setting "UsePAM" != false))

  (must "5.2.1" "sudo is installed" "security.sudo.enable" config.security.sudo.enable)
  (must "5.2.2" "sudo uses a terminal of its own" users (sudoers "use_pty"))
  (must "5.2.3" "sudo has a log" logging (sudoers "logfile="))
  (must "5.2.5" "sudo asks again" "security.sudo.wheelNeedsPassword" config.security.sudo.wheelNeedsPassword)
  (must "5.2.6" "sudo asks again soon" "pantherOS.security.hardening.user-security.sudoMinutes" (
    sudoers "timestamp_timeout="
  ))
  (must "5.2.7" "su is for administrators" users (
    get "security.pam.services.su.requireWheel" false == true
  ))
  (inherent "5.3.1.1" "PAM is up to date" "flake.lock")
  (inherent "5.3.1.2" "PAM's modules are installed" "NixOS")
  (must "5.3.1.3" "pwquality is installed" users (pam "passwd" "password" "panther-pwquality"))
  (inherent "5.3.2.1" "pam_unix is on" "NixOS")
  (must "5.3.2.2" "pam_faillock is on" users (pam "login" "auth" "panther-faillock-before"))
  (must "5.3.2.3" "pam_pwquality is on" users (pam "passwd" "password" "panther-pwquality"))
  (not "5.3.2.4" "pam_pwhistory is on" "passwords do not expire here (5.4.1.1), so nobody goes back to an old one")
  (must "5.3.3.1.1" "accounts lock after wrong passwords" "pantherOS.security.hardening.user-security.lockAfter" (
    pam "login" "auth" "panther-faillock-after"
  ))
  (must "5.3.3.1.2" "and unlock after a while" "pantherOS.security.hardening.user-security.lockSeconds" (
    pam "login" "auth" "panther-faillock-after"
  ))
  (must "5.3.3.2.1" "new passwords differ" users (pamSetting "difok" 2))
  (must "5.3.3.2.2" "length of passwords" "pantherOS.security.hardening.user-security.minLength" (
    !(pamSetting "minlen" null)
  ))
  (not "5.3.3.2.3" "kinds of characters" "length does more than rules that make people write them down")
  (must "5.3.3.2.4" "repeated characters" users (pamSetting "maxrepeat" 3))
  (must "5.3.3.2.5" "sequences of characters" users (pamSetting "maxsequence" 3))
  (must "5.3.3.2.6" "words of the dictionary" users (pamSetting "dictcheck" 1))
  (must "5.3.3.2.7" "quality is enforced" users (pam "passwd" "password" "panther-pwquality"))
  (must "5.3.3.2.8" "for root as well" users (pamSetting "enforce_for_root" true))
  (not "5.3.3.3.1" "old passwords are remembered" "see 5.3.2.4")
  (not "5.3.3.3.2" "for root as well" "root has no password")
  (not "5.3.3.3.3" "pam_pwhistory takes the judged password" "see 5.3.2.4")
  (must "5.3.3.4.1" "no empty passwords" users (
    get "security.pam.services.login.allowNullPassword" true != true
  ))
  (inherent "5.3.3.4.2" "pam_unix remembers no passwords" "NixOS")
  (inherent "5.3.3.4.3" "strong hashes" "NixOS: yescrypt")
  (must "5.3.3.4.4" "pam_unix takes the judged password" users (
    get "security.pam.services.passwd.rules.password.unix.settings.use_authtok" false == true
  ))
  (not "5.4.1.1" "passwords expire" "NIST SP 800-63B advises against it: people count up")
  (na "5.4.1.3" "warning before a password expires" "see 5.4.1.1")
  (must "5.4.1.4" "strong hashes" users (get "security.loginDefs.settings.ENCRYPT_METHOD" "" == "YESCRYPT"))
  (not "5.4.1.5" "unused accounts lock" "accounts are those of hosts.toml; who is not there any more has none")
  (inherent "5.4.1.6" "passwords were changed in the past" "the clock is right, see 2.3")
  (must "5.4.2.1" "root alone has uid 0" "users.users" (
    lib.count (u: (u.uid or null) == 0) (lib.attrValues config.users.users) == 1
  ))
  (must "5.4.2.2" "root alone has group root" "users.users" (
    lib.all (u: u.group != "root" || u.name == "root" || !u.isNormalUser) (
      lib.attrValues config.users.users
    )
  ))
  (must "5.4.2.3" "group root alone has gid 0" "users.groups" (
    lib.all (g: (g.gid or null) != 0 || g.name == "root") (lib.attrValues config.users.groups)
  ))
  (must "5.4.2.4" "root's password" users (config.users.users.root.hashedPassword != null))
  (inherent "5.4.2.5" "root's path" "NixOS: store and /run/wrappers alone")
  (must "5.4.2.6" "root's umask" "pantherOS.security.hardening.user-security.umask" (
    pam "login" "session" "panther-umask"
  ))
  (inherent "5.4.2.7" "system accounts have no shell" "NixOS")
  (inherent "5.4.2.8" "accounts without a shell are locked" "NixOS")
  (
    if workstation then
      not "5.4.3.2" "idle shells end" "the screen locks instead; what runs in a terminal goes on"
    else
      must "5.4.3.2" "idle shells end" "pantherOS.security.hardening.user-security.shellTimeout" (
        lib.hasInfix "TMOUT=" (get "environment.interactiveShellInit" "")
      )
  )
  (must "5.4.3.3" "umask" "pantherOS.security.hardening.user-security.umask" (
    pam "login" "session" "panther-umask"
  ))

  (inherent "6.1.1.1" "journald runs" "NixOS")
  (inherent "6.1.1.2" "access to the journal" "NixOS: group systemd-journal")
  (must "6.1.1.3" "the journal is rotated" logging (journald "SystemMaxUse=" && journald "MaxRetentionSec="))
  (must "6.1.1.4" "one logging system" logging (!(on "services.rsyslogd") && !(on "services.syslog-ng")))
  (inherent "6.1.2.1.1" "systemd-journal-remote is installed" "NixOS: part of systemd")
]
++ (
  let
    upload = "pantherOS.services.monitoring.logging.collector";
  in
  if on "services.journald.upload" then
    [
      (must "6.1.2.1.2" "logs are sent to who is meant" "${upload}, over Tailscale, which knows both ends" (
        on "services.tailscale"
      ))
      (must "6.1.2.1.3" "logs are sent away" upload true)
    ]
  else
    [
      (na "6.1.2.1.2" "logs are sent to who is meant" "none are sent, see 6.1.2.1.3")
      (not "6.1.2.1.3" "logs are sent away" "this host keeps its own; ${upload} would name another")
    ]
)
++ [
  (
    if on "services.journald.remote" then
      not "6.1.2.1.4" "no logs are received" "this host gathers those of the others, over Tailscale alone: pantherOS.services.monitoring.logging.receive"
    else
      must "6.1.2.1.4" "no logs are received" "services.journald.remote.enable: off" true
  )
  (must "6.1.2.2" "nothing is sent to syslog" logging (journald "ForwardToSyslog=no"))
  (must "6.1.2.3" "the journal is compressed" logging (journald "Compress=yes"))
  (must "6.1.2.4" "the journal is kept" logging (get "services.journald.storage" null == "persistent"))
]
++ map (n: na "6.1.3.${toString n}" "rsyslog" "journald is used") (lib.range 1 7)
++ [
  (must "6.1.3.8" "logs outside the journal are rotated" logging (
    get "services.logrotate.settings" { } != { }
  ))
  (inherent "6.1.4.1" "access to log files" "NixOS and auditd: 0640 and less; sudo's log: 0600")
  (must "6.3.1" "AIDE is installed" "pantherOS.security.audit.intrusion-detection.enable" (
    config.systemd.services ? file-integrity
  ))
  (must "6.3.2" "files are compared regularly" "pantherOS.security.audit.intrusion-detection.schedule" (
    (config.systemd.services.file-integrity.startAt or [ ]) != [ ]
  ))
  (must "6.3.3" "the audit tools are intact" "pantherOS.security.audit.intrusion-detection: the whole store is compared with its hashes" (
    config.systemd.services ? file-integrity
  ))
]
++
  map (n: inherent "7.1.${toString n}" "access to account files" "NixOS sets owner and mode when it activates")
    (lib.range 1 10)
++ [
  (not "7.1.11" "files that everybody may write" "needs a look at the running machine: `find / -xdev -type f -perm -0002`")
  (not "7.1.12" "files without an owner" "needs a look at the running machine: `find / -xdev -nouser -o -nogroup`")
  (inherent "7.1.13" "setuid programs are known" "security.wrappers; the store has none")
  (inherent "7.2.1" "passwords are shadowed" "NixOS")
  (inherent "7.2.2" "no empty password" "NixOS: an account without one is locked")
  (inherent "7.2.3" "groups of accounts exist" "NixOS refuses others")
  (must "7.2.4" "group shadow is empty" "users.groups.shadow" (
    (config.users.groups.shadow.members or [ ]) == [ ]
  ))
]
++ map (n: inherent "7.2.${toString n}" "no duplicate accounts, groups or names" "NixOS refuses them") (
  lib.range 5 8
)
++ [
  (inherent "7.2.9" "home directories" "NixOS: made with mode 0700")
  (not "7.2.10" "access to dot files" "people's own; homes are closed to others (7.2.9)")
]
