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
      revision = self.shortRev or self.dirtyShortRev or null;
      date = self.lastModifiedDate or null;
      package = pkgs: pkgs.callPackage ./nix/package.nix { inherit revision date; };
    in
    {
      packages = eachSystem (pkgs: rec {
        default = network-metrics-exporter;
        network-metrics-exporter = package pkgs;
      });

      overlays.default = final: _: { network-metrics-exporter = package final; };

      nixosModules = rec {
        default = network-metrics-exporter;
        network-metrics-exporter =
          { lib, pkgs, ... }:
          {
            imports = [ ./nix/module.nix ];
            services.network-metrics-exporter.package = lib.mkDefault (package pkgs);
          };
      };

      checks = eachSystem (pkgs: {
        package = package pkgs;
        vm = pkgs.testers.runNixOSTest ./nix/tests/vm.nix;
      });

      formatter = eachSystem (pkgs: pkgs.nixfmt-tree);
    };
}
