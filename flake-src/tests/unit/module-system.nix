# The stand-in's module evaluator does what NixOS's does: the same modules give
# the same configuration, and what NixOS refuses it refuses.
{ standIn, ... }:
let
  inherit (standIn) lib fails;
  inherit (lib)
    mkAfter
    mkBefore
    mkDefault
    mkForce
    mkIf
    mkMerge
    mkOption
    types
    ;
  eval = modules: (lib.evalModules { inherit modules; }).config;
  option = type: { options.x = mkOption { inherit type; }; };
  withDefault = type: default: { options.x = mkOption { inherit type default; }; };
  # The value of an option x of that type, given those definitions.
  merged = type: definitions: (eval ([ (option type) ] ++ map (x: { inherit x; }) definitions)).x;
  is = expr: expected: { inherit expr expected; };
  refused = expr: {
    expr = fails expr;
    expected = true;
  };
in
{
  # Priorities, conditions, order.
  default = is (eval [ (withDefault types.int 1) ]).x 1;
  definitionBeatsDefault = is (eval [
    (withDefault types.int 1)
    { x = mkDefault 2; }
  ]).x 2;
  plainBeatsMkDefault = is (merged types.int [
    (mkDefault 1)
    2
  ]) 2;
  mkForceBeatsPlain = is (merged types.int [
    (mkForce 1)
    2
  ]) 1;
  falseConditionIsNoDefinition = is (merged types.int [
    (mkIf false 1)
    2
  ]) 2;
  mkMergeIsAllOfThem = is (merged (types.listOf types.int) [ (mkMerge [
    [ 1 ]
    (mkIf true [ 2 ])
  ]) ]) [
    1
    2
  ];
  order = is (merged (types.listOf types.int) [
    (mkAfter [ 3 ])
    [ 2 ]
    (mkBefore [ 1 ])
  ]) [
    1
    2
    3
  ];
  conditionAroundASet =
    is
      (eval [
        { options.a.b = mkOption { type = types.int; }; }
        { a = mkIf true { b = mkDefault 1; }; }
      ]).a.b
      1;
  conditionMayAskTheConfiguration =
    is
      (eval [
        { options = {
          on = lib.mkEnableOption "it";
          x = mkOption {
            type = types.int;
            default = 0;
          };
        }; }
        ({ config, ... }: { config = mkIf config.on { x = 1; }; })
        { on = true; }
      ]).x
      1;
  forcedSetReplacesTheOthers = is (merged (types.attrsOf types.int) [
    { a = 1; }
    (mkForce { b = 2; })
  ]) { b = 2; };

  # Types.
  lines = is (merged types.lines [
    "b"
    "a"
  ]) "a\nb";
  attributesMerge = is (merged (types.attrsOf types.int) [
    { a = 1; }
    { b = 2; }
  ]) {
    a = 1;
    b = 2;
  };
  falseAttributesVanish = is (merged (types.attrsOf types.int) [ { a = mkIf false 1; } ]) { };
  falseElementsVanish = is (merged (types.listOf types.int) [ [
    (mkIf false 1)
    2
  ] ]) [ 2 ];
  nullOr = is (merged (types.nullOr types.int) [ null ]) null;
  either = is (merged (types.either types.int types.str) [ "a" ]) "a";
  coercedTo = is (merged (types.coercedTo types.int toString types.str) [ 1 ]) "1";
  anythingMergesDeeply = is (merged types.anything [
    { a.b = 1; }
    { a.c = [ 2 ]; }
  ]) { a = {
    b = 1;
    c = [ 2 ];
  }; };
  applied = is (eval [ { options.x = mkOption {
    default = 1;
    apply = toString;
  }; } ]).x "1";
  submodule =
    is
      (merged (types.attrsOf (
        types.submodule (
          { name, config, ... }:
          {
            options.called = mkOption { default = name; };
            options.twice = mkOption { default = config.n * 2; };
            options.n = mkOption { type = types.int; };
          }
        )
      )) [
        { a.n = 1; }
        { b.n = mkDefault 2; }
      ])
      {
        a = {
          called = "a";
          n = 1;
          twice = 2;
        };
        b = {
          called = "b";
          n = 2;
          twice = 4;
        };
      };
  freeform =
    is
      (merged (types.submodule {
        freeformType = types.attrsOf types.str;
        options.n = mkOption { type = types.int; };
      }) [ {
        n = 1;
        s = "a";
      } ])
      {
        n = 1;
        s = "a";
      };

  # Modules.
  importsByPathAndValue = is (eval [ { imports = [
    (option types.int)
    { x = 1; }
  ]; } ]).x 1;
  sameKeyIsImportedOnce =
    is (eval [
      (option (types.listOf types.int))
      {
        key = "k";
        x = [ 1 ];
      }
      {
        key = "k";
        x = [ 1 ];
      }
    ]).x [ 1 ];
  disabledModule =
    is (eval [
      (withDefault types.int 0)
      {
        key = "k";
        x = 1;
      }
      { disabledModules = [ { key = "k"; } ]; }
    ]).x 0;
  argumentsFromModules = is (eval [
    (option types.int)
    { _module.args.one = 1; }
    ({ one, ... }: { x = one; })
  ]).x 1;
  readOnly = refused (eval [
    { options.x = mkOption {
      default = 1;
      readOnly = true;
    }; }
    { x = 2; }
  ]).x;

  # What is refused.
  wrongType = refused (merged types.int [ "1" ]);
  wrongElement = refused (merged (types.listOf types.int) [ [ "1" ] ]);
  notInTheEnum = refused (merged (types.enum [ "a" ]) [ "b" ]);
  portTooLarge = refused (merged types.port [ 65536 ]);
  conflict = refused (merged types.int [
    1
    2
  ]);
  undeclared = refused (eval [ { y = 1; } ]);
  undeclaredInASubmodule = refused (merged (types.submodule { }) [ { y = 1; } ]);
  declaredTwice = refused (eval [
    (option types.int)
    (option types.int)
  ]).x;
  noValue = refused (eval [ (option types.int) ]).x;
  valueForASetOfOptions = refused (eval [
    { options.a.b = mkOption { }; }
    { a = 1; }
  ]).a.b;
  missingArgument = refused (eval [
    (option types.int)
    ({ nobody, ... }: { x = nobody; })
  ]).x;
  strayAttribute = refused (eval [ {
    options.x = mkOption { };
    config.x = 1;
    y = 2;
  } ]).x;

  # The system: open for NixOS's options (option-table.nix says which those are),
  # closed for our own.
  acceptsOptionsOfNixos =
    is (standIn.system { modules = [ { services.thermald.debug = true; } ]; }).config.services.thermald.debug
      true;
  refusesUnknownOptionsOfOurs = refused (standIn.system {
    modules = [ { pantherOS.base.nothing.enable = true; } ];
  }).config.system.build.toplevel.drvPath;
  failedAssertion = refused (standIn.system {
    modules = [ { assertions = [ {
      assertion = false;
      message = "no";
    } ]; } ];
  }).config.system.build.toplevel.drvPath;
  throwSomewhere = refused (standIn.system {
    modules = [ { services.thermald.configFile = throw "no"; } ];
  }).config.system.build.toplevel.drvPath;
  unfreePackage = refused (standIn.system {
    modules = [ ({ pkgs, ... }: { environment.systemPackages = [ pkgs.nvidia-x11 ]; }) ];
  }).config.system.build.toplevel.drvPath;
}
