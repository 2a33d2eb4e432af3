# docs/hosts.md: priorities.nix as a table.
{ lib }:
let
  priorities = import ./priorities.nix;
  inherit (import ./rows.nix) show;
  rows =
    n: line:
    lib.imap1 (
      i: row:
      "| ${lib.optionalString (i == 1) "${toString n}. ${line.line}"} | `${row.option}` ${show row} | `${row.where}` | ${row.why or ""} |"
    ) line.rows;
in
lib.concatLines (
  [
    "<!-- Written by `make hosts-doc` from flake-src/tests/priorities.nix. -->"
    "# What each host is for, and what does it"
    ""
    "The brief gives each host a list of priorities. Each line of it, the options"
    "that do it, the value that they have on that host, and the file that sets them;"
    "`make test` evaluates every row. Files are below `flake-src`; an option's own"
    "description is in the module whose path is the option's name."
    ""
    "Bus ids of GPUs, connectors of screens, names of disks and the B2 bucket are"
    "assumed, and said so where they are set: confirm them on the machine with"
    "`lspci | grep -E 'VGA|3D'`, `niri msg outputs` and `lsblk`."
  ]
  ++ lib.concatLists (
    lib.mapAttrsToList (
      host: lines:
      [
        ""
        "## ${host}"
        ""
        "| priority | option and value | set in | |"
        "|---|---|---|---|"
      ]
      ++ lib.concatLists (lib.imap1 rows lines)
    ) priorities
  )
)
