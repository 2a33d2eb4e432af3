# The module evaluator: modules in, one configuration out.
#
# It has what NixOS modules use every day: imports by path, function and set,
# disabledModules, module arguments, typed options with defaults, priorities,
# conditions and order, submodules, freeform modules. It leaves out what this
# flake does not need: one option declared in two places, renamed options,
# documentation.
#
# It differs from nixpkgs in one thing. `open`, a function of an option's
# place, says where a definition without a declaration is accepted: the
# stand-in declares only a few of NixOS's options. Nothing is open by default.
{ lib }:
let
  inherit (builtins)
    attrNames
    concatMap
    filter
    foldl'
    isAttrs
    isFunction
    isPath
    isString
    mapAttrs
    ;

  moduleKeys = [
    "_class"
    "_file"
    "config"
    "disabledModules"
    "freeformType"
    "imports"
    "key"
    "meta"
    "options"
  ];

  # What a module says, whatever it was written as.
  normalise =
    key: file: args: m:
    let
      names = lib.functionArgs' m;
      applied =
        if isFunction m || m ? __functor then
          m (args.base // mapAttrs (name: _: args.named file name) names)
        else
          m;
      body =
        if isAttrs applied then
          applied
        else
          throw "The module `${file}' is not a module: it is ${lib.generators.toPretty { } applied}";
      unknown = filter (n: !(builtins.elem n moduleKeys)) (attrNames body);
      structured = body ? config || body ? options;
    in
    {
      key = body.key or key;
      file = body._file or file;
      imports = body.imports or [ ];
      disabled = body.disabledModules or [ ];
      options = body.options or { };
      freeformType = body.freeformType or null;
      config =
        if body ? _type then
          # The whole module is a mkIf or a mkMerge.
          body
        else if !structured then
          removeAttrs body (lib.remove "meta" moduleKeys)
        else if unknown != [ ] then
          throw "The module `${file}' has both `config' or `options' and the attribute `${builtins.head unknown}': move it below `config'"
        else
          body.config or { };
    };

  # Every module once, those that it imports after it.
  collect =
    {
      modules,
      args,
      modulesPath,
    }:
    let
      load =
        parent: n: m:
        if isPath m || isString m then
          let
            path = builtins.unsafeDiscardStringContext (toString m);
          in
          normalise path path args (import m)
        else
          normalise "${parent.key}:anon-${toString n}" parent.file args m;
      root = {
        key = "";
        file = "<unknown-file>";
      };
      walk =
        wanted:
        builtins.genericClosure {
          startSet = filter wanted (lib.imap1 (load root) modules);
          operator = m: filter wanted (lib.imap1 (load m) m.imports);
        };
      all = walk (_: true);
      disabled = concatMap (
        m:
        map (
          d:
          if isAttrs d then
            d.key
          else if isString d && !(lib.hasPrefix "/" d) then
            "${modulesPath}/${d}"
          else
            toString d
        ) m.disabled
      ) all;
    in
    if disabled == [ ] then all else walk (m: !(builtins.elem m.key disabled));

  # All declarations in one tree; the file of each is kept in `file`.
  mergeOptions =
    loc: a: b:
    a
    // mapAttrs (
      name: new:
      let
        here = loc ++ [ name ];
        old = a.${name};
      in
      if !(a ? ${name}) then
        new
      else if lib.isOption old || lib.isOption new then
        throw "The option `${lib.showOption here}' in `${fileOf new}' is already declared in `${fileOf old}'."
      else
        mergeOptions here old new
    ) b;
  fileOf = x: if lib.isOption x then x.file else "a set of options";
  tagOptions =
    file: mapAttrs (_: o: if lib.isOption o then o // { inherit file; } else tagOptions file o);

  # The attributes of some definitions, marks moved inwards: name -> definitions.
  attributesOf =
    loc: defs:
    builtins.zipAttrsWith (_: ds: ds) (
      concatMap (
        def:
        map (
          set:
          if isAttrs set then
            mapAttrs (_: value: {
              inherit (def) file;
              inherit value;
            }) set
          else
            throw "In `${def.file}' the option `${lib.showOption loc}' is given a value, but it is a set of options: ${lib.generators.toPretty { } set}"
        ) (lib.pushDownProperties def.value)
      ) defs
    );

  # A node of the result is { isOption = true; value; ... } or
  # { isOption = false; children; declared; }.
  buildTree =
    { open, freeformType }@how:
    loc: options: defs:
    let
      byName = attributesOf loc defs;
      node =
        name: _:
        let
          here = loc ++ [ name ];
          option = options.${name} or null;
          ds = byName.${name} or [ ];
        in
        if lib.isOption option then
          evalOption here option ds
        else if option != null then
          buildTree how here option ds
        else if freeformType != null then
          undeclaredLeaf here (freeformType.elemType or (throw "freeformType of `${lib.showOption loc}' must be an attrsOf type here")) ds
        else if builtins.all (def: lib.isTree def.value) ds then
          buildTree how here { } ds // { declared = false; }
        else
          undeclaredLeaf here lib.types.anything ds;
    in
    {
      isOption = false;
      declared = true;
      inherit loc;
      children = mapAttrs node (options // byName);
      # Definitions that no declaration, freeform type or `open` covers.
      refused =
        lib.optionals (freeformType == null) (
          concatMap (
            name:
            let
              here = loc ++ [ name ];
            in
            if options ? ${name} || open here then
              [ ]
            else
              [
                {
                  loc = here;
                  defs = byName.${name};
                }
              ]
          ) (attrNames byName)
        )
        ++ concatMap (
          name: if lib.isOption options.${name} then [ ] else (node name null).refused
        ) (attrNames options);
    };

  undeclaredLeaf =
    loc: type: defs:
    lib.mergeDefinitions loc type defs
    // {
      isOption = true;
      declared = false;
      inherit loc;
    };

  evalOption =
    loc: option: defs:
    let
      type = option.type or lib.types.unspecified;
      withDefault = lib.optional (option ? default) {
        inherit (option) file;
        value = lib.mkOptionDefault option.default;
      };
      merged = lib.mergeDefinitions loc type (withDefault ++ defs);
      value =
        if (option.readOnly or false) && builtins.length defs > lib.boolToInt (!(option ? default)) then
          throw "The option `${lib.showOption loc}' is read-only, but it is set in ${
            lib.showFiles (map (def: def.file) defs)
          }"
        else if option ? apply then
          option.apply merged.value
        else
          merged.value;
    in
    merged
    // {
      isOption = true;
      declared = true;
      inherit loc option type;
      value = builtins.addErrorContext "while evaluating the option `${lib.showOption loc}':" value;
      merged = merged.value;
      given = defs != [ ];
    };

  toConfig =
    node: if node.isOption then node.value else mapAttrs (_: toConfig) node.children;
  toOptions =
    node:
    if node.isOption then
      {
        _type = "option";
        inherit (node)
          loc
          value
          isDefined
          highestPrio
          files
          ;
      }
      // node.option
      // {
        inherit (node) type;
      }
    else
      mapAttrs (_: toOptions) (
        lib.filterAttrs (_: child: child.declared) node.children
      );
  undeclaredIn =
    node:
    if !node.isOption then
      concatMap undeclaredIn (builtins.attrValues node.children)
    else
      lib.optional (!node.declared) node;

  # Options with a definition besides their default, by what was defined.
  definedIn =
    node:
    if !node.isOption then
      concatMap definedIn (builtins.attrValues node.children)
    else
      lib.optional (node.declared && node.given && node.isDefined && node.highestPrio < 1500) {
        inherit (node) loc;
        value = node.merged;
      };

  internalModule = {
    _file = "<the evaluator>";
    options._module = {
      args = lib.mkOption {
        type = lib.types.lazyAttrsOf lib.types.raw;
        default = { };
        description = "Further arguments for modules.";
      };
      freeformType = lib.mkOption {
        type = lib.types.nullOr lib.types.raw;
        default = null;
        description = "The type of what is defined without being declared.";
      };
    };
  };
in
{
  boolToInt = b: if b then 1 else 0;
  functionArgs' =
    f:
    if f ? __functor then
      f.__functionArgs or (builtins.functionArgs (f.__functor f))
    else if isFunction f then
      builtins.functionArgs f
    else
      { };

  # mergeDefinitions loc type [ { file; value; } ]: conditions asked, the best
  # priority taken, order kept, types checked, values merged.
  mergeDefinitions =
    loc: type: defs:
    let
      discharged = concatMap lib.dischargeProperties defs;
      highestPrio = foldl' (p: def: lib.min p def.priority) 9999 discharged;
      winning = filter (def: def.priority == highestPrio) discharged;
      ordered =
        if builtins.all (def: def.order == lib.defaultOrderPriority) winning then
          winning
        else
          builtins.sort (a: b: a.order < b.order) winning;
      wrong = filter (def: !(type.check def.value)) ordered;
      merged =
        if ordered == [ ] then
          type.emptyValue
            or (throw "The option `${lib.showOption loc}' was accessed but has no value defined. Try setting the option.")
        else if wrong != [ ] then
          throw "A definition for option `${lib.showOption loc}' is not of type `${type.description}'. Definition values:${lib.showDefs wrong}"
        else
          type.merge loc ordered;
    in
    {
      isDefined = ordered != [ ];
      inherit highestPrio;
      files = map (def: def.file) ordered;
      value = merged;
    };

  evalModules =
    {
      modules,
      specialArgs ? { },
      prefix ? [ ],
      open ? (_: false),
      modulesPath ? "",
    }@evaluation:
    let
      base = {
        inherit
          lib
          config
          options
          undeclared
          defined
          extendModules
          ;
      }
      // specialArgs;
      args = {
        inherit base;
        # Lazy, so that a module may take an argument that others define.
        named =
          file: name:
          base.${name} or (builtins.addErrorContext "while finding the module argument `${name}' of `${file}':" (
            config._module.args.${name}
              or (throw "The module `${file}' takes the argument `${name}', which nothing provides")
          ));
      };
      collected = lib.reverseList (collect {
        modules = [ internalModule ] ++ modules;
        inherit args modulesPath;
      });
      declared = foldl' (mergeOptions prefix) { } (map (m: tagOptions m.file m.options) collected);
      # What each module says, before any condition is asked.
      definitions = map (m: {
        inherit (m) file;
        value = m.config;
      }) collected;
      freeform = filter (t: t != null) (map (m: m.freeformType) collected);
      tree = buildTree {
        inherit open;
        freeformType = if freeform == [ ] then null else builtins.head freeform;
      } prefix declared definitions;
      refusal =
        let
          first = builtins.head tree.refused;
        in
        "The option `${lib.showOption first.loc}' does not exist. Definition values:${lib.showDefs first.defs}";
      options = toOptions tree;
      # What modules see. It is not checked for definitions without a
      # declaration: to know their names may take the configuration itself.
      config = toConfig tree;
      # Every definition that was accepted without a declaration.
      undeclared = undeclaredIn tree;
      defined = definedIn tree;
      extendModules =
        {
          modules ? [ ],
          specialArgs ? { },
        }:
        lib.evalModules (
          evaluation
          // {
            modules = evaluation.modules ++ modules;
            specialArgs = evaluation.specialArgs or { } // specialArgs;
          }
        );
    in
    {
      inherit
        options
        undeclared
        defined
        definitions
        extendModules
        ;
      config = if tree.refused == [ ] then removeAttrs config [ "_module" ] else throw refusal;
      inherit (config) _module;
    };
}
