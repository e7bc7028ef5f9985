# What NixOS gives a module beside lib, as far as ours takes it. Packages are
# but their names.
{ lib }:
let
  package = name: mainProgram: {
    type = "derivation";
    inherit name;
    outPath = "/nix/store/00000000000000000000000000000000-${name}";
    meta = { inherit mainProgram; };
  };
in
{
  pkgs = {
    callPackage = _: _: package "network-metrics-exporter" "network-metrics-exporter";
    coreutils = package "coreutils" "coreutils";
    prometheus-node-exporter = package "prometheus-node-exporter" "node_exporter";
  };
  # As in nixpkgs' nixos/lib/utils.nix: systemd reads what JSON writes, and takes
  # % and $ for itself.
  utils.escapeSystemdExecArgs = lib.concatMapStringsSep " " (
    argument: lib.replaceStrings [ "%" "$" ] [ "%%" "$$" ] (lib.toJSON (toString argument))
  );
}
