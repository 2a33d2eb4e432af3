{
  outputs = _: {
    lib.toplevel =
      name: host:
      let
        build =
          name: script:
          derivation {
            inherit name;
            system = "x86_64-linux";
            builder = "/bin/sh";
            args = [
              "-euc"
              script
            ];
          };
        common = build "common-1.0" (host.common or "mkdir $out; echo shared > $out/file");
      in
      build "nixos-system-${name}" (
        host.script or "mkdir $out; ln -s ${common} $out/common; echo ${name} > $out/name"
      );
  };
}
