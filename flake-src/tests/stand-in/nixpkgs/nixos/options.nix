# The options that the real nixpkgs declares: `make options` writes them.
builtins.fromJSON (builtins.readFile ./options.json)
