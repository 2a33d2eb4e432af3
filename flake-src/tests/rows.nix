# Rows: what an option of an evaluated system must be. { option; is; } is that
# value, { option; has; } a list with that element (a package by its name), a
# text with that in it or a set with that attribute, { option; some = true; }
# anything but nothing.
rec {
  is = option: is: { inherit option is; };
  has = option: has: { inherit option has; };
  some = option: {
    inherit option;
    some = true;
  };

  # find lib config option: [ value ], or [ ] where there is no such option. Names
  # may have dots themselves, as sysctls have: the longest that fits is taken.
  find =
    lib: config: option:
    let
      at =
        set: parts:
        if parts == [ ] then
          [ set ]
        else if !(builtins.isAttrs set) then
          [ ]
        else
          lib.concatMap (
            n:
            let
              name = lib.concatStringsSep "." (lib.take n parts);
            in
            lib.optionals (set ? ${name}) (at set.${name} (lib.drop n parts))
          ) (lib.reverseList (lib.range 1 (lib.length parts)));
    in
    lib.take 1 (at config (lib.splitString "." option));

  # holds lib config row: an option that does not exist, or has no value, holds
  # nothing.
  holds =
    lib: config: row:
    let
      found = find lib config row.option;
      attempt = builtins.tryEval (lib.head found);
      inherit (attempt) value;
      element = v: if lib.isDerivation v then lib.getName v == row.has else v == row.has;
    in
    found != [ ]
    && attempt.success
    && (
      if row ? is then
        value == row.is
      else if row ? has then
        if builtins.isString value then
          lib.hasInfix row.has value
        else if builtins.isList value then
          lib.any element value
        else
          builtins.isAttrs value && value ? ${row.has}
      else
        !(lib.elem value [
          null
          false
          ""
          [ ]
          { }
        ])
    );

  # What a document says of a row beside its option.
  show =
    row:
    if row ? is then
      builtins.toJSON row.is
    else if row ? has then
      "has ${builtins.toJSON row.has}"
    else
      "set";
}
