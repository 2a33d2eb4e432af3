# Declaring options.
{ lib }:
{
  mkOption =
    {
      apply ? null,
      default ? null,
      defaultText ? null,
      description ? null,
      example ? null,
      internal ? null,
      readOnly ? null,
      relatedPackages ? null,
      type ? null,
      visible ? null,
    }@declaration:
    declaration // { _type = "option"; };

  mkEnableOption =
    name:
    lib.mkOption {
      type = lib.types.bool;
      default = false;
      example = true;
      description = "Whether to enable ${name}.";
    };

  mkPackageOption =
    pkgs: name:
    {
      default ? name,
      nullable ? false,
      example ? null,
      extraDescription ? "",
      pkgsText ? "pkgs",
    }:
    let
      path = if builtins.isList default then default else lib.splitString "." default;
    in
    lib.mkOption (
      {
        type = if nullable then lib.types.nullOr lib.types.package else lib.types.package;
        description = "The ${toString name} package to use.${
          lib.optionalString (extraDescription != "") " ${extraDescription}"
        }";
      }
      // lib.optionalAttrs (default != null) {
        default = lib.attrByPath path (throw "mkPackageOption: there is no package ${lib.showOption path}") pkgs;
        defaultText = lib.literalExpression "${pkgsText}.${lib.showOption path}";
      }
      // lib.optionalAttrs (default == null) { default = null; }
    );

  isOption = x: builtins.isAttrs x && (x._type or null) == "option";
  literalExpression = text: {
    _type = "literalExpression";
    inherit text;
  };
  literalMD = text: {
    _type = "literalMD";
    inherit text;
  };

  # a.b."c d": quotes where Nix needs them.
  showOption = lib.concatMapStringsSep "." (
    name:
    if builtins.match "[a-zA-Z_][a-zA-Z0-9_'-]*" name != null || name == "*" || name == "<name>" then
      name
    else
      builtins.toJSON name
  );
  showFiles = lib.concatMapStringsSep " and " (file: "`${file}'");
  showDefs = lib.concatMapStrings (
    def: "\n- In `${def.file}': ${lib.generators.toPretty { } def.value}"
  );
}
