# docs/cis.md: what cis.nix says of each host, as a table. { <host> = items; }.
{ lib }:
hosts:
let
  names = lib.attrNames hosts;
  statuses = [
    "done"
    "inherent"
    "missing"
    "not-applicable"
    "not-done"
  ];
  chapters = {
    "1" = "Initial setup";
    "2" = "Services";
    "3" = "Network";
    "4" = "Firewall";
    "5" = "Access control";
    "6" = "Logging and auditing";
    "7" = "System maintenance";
  };
  count = host: status: toString (lib.count (i: i.status == status) hosts.${host});
  row = cells: "| ${lib.concatStringsSep " | " cells} |";
  cell = lib.replaceStrings [ "|" ] [ "\\|" ];

  # The benchmark's order, which is every host's.
  ids = map (i: i.id) hosts.${lib.head names};
  at = n: host: lib.elemAt hosts.${host} n;
  # What is said of an item, and by which hosts.
  versions = n: lib.unique (map (at n) names);
  rows =
    n: id:
    map (
      version:
      let
        who = lib.filter (host: at n host == version) names;
        hostsOf = lib.optionalString (who != names) " (${lib.concatStringsSep ", " who})";
      in
      row [
        id
        (cell version.title)
        "${lib.replaceStrings [ "-" ] [ " " ] version.status}${hostsOf}"
        (cell version.by)
      ]
    ) (versions n);
  numbered = lib.imap0 (n: id: { inherit n id; }) ids;
  chapter =
    number: title:
    [
      ""
      "## ${number} ${title}"
      ""
      "| item | what | status | by which option, or why |"
      "|---|---|---|---|"
    ]
    ++ lib.concatMap (i: rows i.n i.id) (lib.filter (i: lib.hasPrefix "${number}." i.id) numbered);
in
lib.concatLines (
  [
    "<!-- Written by `make cis` from flake-src/lib/cis.nix. -->"
    "# CIS level 1"
    ""
    "There is no CIS benchmark for NixOS. The nearest is that for Debian 12 (v1.1.0):"
    "this is each of its items of level 1, for servers and for workstations, and"
    "where pantherOS stands. Titles are ours. The table is what"
    "`flake-src/lib/cis.nix` says of each host; it is evaluated with every check, and"
    "an item that a host must meet and does not is a failed check `cis`:"
    ""
    "    nix eval --json ./flake-src#lib.validation.HOST.cis"
    ""
    "- done: by which option, read from the evaluated system."
    "- inherent: every NixOS is so; argued, not measured, and no setting of ours."
    "- missing: a host must meet it and does not."
    "- not applicable: why."
    "- not done: on purpose, why."
    ""
    "Nothing here looks at the running machine. auditd is level 2 there and on here,"
    "see `pantherOS.security.audit.auditd`; so are the blocked protocols dccp, tipc,"
    "rds and sctp."
    ""
    (row ([ "host" ] ++ map (lib.replaceStrings [ "-" ] [ " " ]) statuses))
    "|---|---|---|---|---|---|"
  ]
  ++ map (host: row ([ host ] ++ map (count host) statuses)) names
  ++ lib.concatLists (lib.mapAttrsToList chapter chapters)
)
