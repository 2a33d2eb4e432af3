# What each file of the brief's tree promises, by its path: the brief's own words,
# and facts, rows (see ../rows.nix) that hold on a system with the file and not on
# the same system without it. docs/brief.md is this as an index.
#
#   line    the tree's words, null for a file that the tree has not
#   more    the brief's words where it says it again, if they are others
#   what    what there is to know beside them
#   also    of a module: what else must be set (below pantherOS.) for it to make
#           sense alone
#   on, off of a module without `enable`: what is set instead
#   facts   the rows; unit/modules.nix switches each module off, profiles and homes
#           are left out of a host by integration/promises.nix
#   onHosts of a module: rows for hosts alone, where there are people
#   host    of another file: the host to look at, if it is not in `profiles`
let
  rows = import ../rows.nix;
in
{
  modules =
    import ./base.nix rows
    // import ./hardware.nix rows
    // import ./desktop.nix rows
    // import ./apps.nix rows
    // import ./services.nix rows
    // import ./security.nix rows;


  composed = import ./composed.nix rows;

  rest = import ./rest.nix;
}
