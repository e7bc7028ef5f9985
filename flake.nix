{
  description = "Per-client network metrics for Linux routers";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs =
    { self, nixpkgs }:
    let
      eachSystem =
        f:
        nixpkgs.lib.genAttrs [
          "x86_64-linux"
          "aarch64-linux"
        ] (system: f nixpkgs.legacyPackages.${system});
      # By the day of the commit: 0-unstable-2026-11-22.
      date = builtins.match "(.{4})(.{2})(.{2}).*" self.lastModifiedDate;
      version = "0-unstable-${builtins.concatStringsSep "-" date}";
      package = pkgs: pkgs.callPackage ./nix/package.nix { inherit version; };
    in
    {
      packages = eachSystem (pkgs: rec {
        default = network-metrics-exporter;
        network-metrics-exporter = package pkgs;
      });

      overlays.default = final: _: { network-metrics-exporter = package final; };

      nixosModules = rec {
        default = network-metrics-exporter;
        network-metrics-exporter = ./nix/module.nix;
      };

      checks = eachSystem (pkgs: {
        package = package pkgs;
        vm = pkgs.testers.runNixOSTest ./nix/tests/vm.nix;
      });

      formatter = eachSystem (pkgs: pkgs.nixfmt-tree);
    };
}
