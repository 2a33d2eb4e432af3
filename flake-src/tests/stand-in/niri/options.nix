# The options that the real input declares: `make options` writes them.
builtins.fromJSON (builtins.readFile ./options.json)
