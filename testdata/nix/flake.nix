# Evaluates the flake, with a stand-in for its input, and what it is made of.
{ lib ? import ./lib.nix }:
let
  # What buildGoModule and runNixOSTest get, in place of what they make.
  pkgs = {
    callPackage =
      file: arguments:
      import file (builtins.intersectAttrs (builtins.functionArgs (import file)) pkgs // arguments);
    buildGoModule = arguments: arguments // { type = "derivation"; };
    testers.runNixOSTest = import;
    nixfmt-tree.type = "derivation";
    installShellFiles = "installShellFiles";
    inherit lib;
  };
  flake = import ../../flake.nix;
  outputs = flake.outputs {
    self = outputs // {
      shortRev = "abc1234";
      lastModifiedDate = "20261128013059";
    };
    nixpkgs = {
      inherit lib;
      legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (_: pkgs);
    };
  };
  package = outputs.packages.x86_64-linux.default;
  test = outputs.checks.x86_64-linux.vm;

  # The machines of the VM test, by those options of NixOS that they use.
  anything = lib.mkOption {
    type = lib.types.anything;
    default = { };
  };
  machine =
    module:
    (lib.evalModules {
      modules = [
        module
        ./nixos.nix
        {
          options = {
            networking = lib.genAttrs [ "bridges" "enableIPv6" "nat" "useDHCP" ] (_: anything);
            services.dnsmasq = anything;
            services.timesyncd = anything;
            specialisation = anything;
            virtualisation.vlans = anything;
          };
        }
      ];
      specialArgs = {
        inherit lib;
        inherit (import ./pkgs.nix { inherit lib; }) pkgs utils;
      };
    }).config;
in
{
  inherit (flake) description inputs;
  outputs = lib.mapAttrs (_: output: if lib.isAttrs output then lib.attrNames output else "function") outputs;
  systems = lib.mapAttrs (_: lib.attrNames) { inherit (outputs) packages checks; };
  package = removeAttrs package [ "src" ] // {
    files = map toString package.src.fileset;
    overlaid = (outputs.overlays.default pkgs { }).network-metrics-exporter.version;
  };
  test = {
    inherit (test) name testScript;
    machines = lib.mapAttrs (
      _: module:
      let
        config = machine module;
      in
      {
        vlans = config.virtualisation.vlans;
        addresses = lib.mapAttrs (_: i: map (a: a.address) i.ipv4.addresses) config.networking.interfaces;
        failed = lib.filter (a: !a.assertion) config.assertions;
        inherit (config) warnings;
        units = lib.attrNames (config.systemd.services // config.systemd.timers);
      }
    ) test.nodes;
  };
}
