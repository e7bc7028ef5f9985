# Evaluates the module with a configuration, as far as a test wants to see it.
# lib is the stand-in, unless another one is given that has evalModules.
{
  configuration,
  lib ? import ./lib.nix,
}:
let
  inherit (import ./pkgs.nix { inherit lib; }) pkgs utils;

  module = ../../nix/module.nix;
  system = lib.evalModules {
    modules = [
      module
      ./nixos.nix
      configuration
    ];
    specialArgs = { inherit lib pkgs utils; };
  };
  inherit (system) config;

  # The options of NixOS that the module defines.
  definitions = (import module { inherit config lib pkgs utils; }).config.content;
  defined =
    path: options: value:
    if options._type or null == "option" then
      [ (lib.concatStringsSep "." path) ]
    else
      lib.concatMap (name: defined (path ++ [ name ]) options.${name} value.${name}) (lib.attrNames value);

  # Units as NixOS writes them (nixos/lib/systemd-lib.nix), without the variables
  # PATH, LOCALE_ARCHIVE and TZDIR that it adds to each service.
  line = name: value: "${name}=${if builtins.isBool value then lib.boolToString value else toString value}\n";
  section =
    name: values:
    lib.optionalString (values != { }) (
      "[${name}]\n" + lib.concatStrings (lib.concatLists (lib.mapAttrsToList (name: map (line name)) values)) + "\n"
    );
  render =
    unit:
    section "Unit" (
      lib.mapAttrs (_: value: [ (toString value) ]) (
        lib.filterAttrs (_: value: value != [ ] && value != "") {
          Description = unit.description;
          After = unit.after;
          Before = unit.before;
          BindsTo = unit.bindsTo;
          Conflicts = unit.conflicts;
          PartOf = unit.partOf;
          Requires = unit.requires;
          Wants = unit.wants;
        }
      )
      // unit.unitConfig
      // lib.optionalAttrs (!(unit.restartIfChanged or true)) { X-RestartIfChanged = [ false ]; }
    )
    + section "Service" (unit.serviceConfig or { })
    + section "Timer" (unit.timerConfig or { });
  renderAll =
    suffix: units: lib.mapAttrs' (name: unit: lib.nameValuePair "${name}.${suffix}" (render unit)) units;

  # systemd.tmpfiles.settings as lines of tmpfiles.d(5).
  tmpfiles = lib.concatLists (
    lib.mapAttrsToList (
      _: lib.mapAttrsToList (
        path: types: lib.mapAttrsToList (type: t: "${type} ${path} ${t.mode} ${t.user} ${t.group} ${t.age} ${t.argument}") types
      )
    ) config.systemd.tmpfiles.settings
  );
in
{
  inherit (config) warnings users;
  inherit (config.boot.kernel) sysctl;
  inherit (config.boot) kernelModules;
  failed = lib.concatMap (a: lib.optional (!a.assertion) a.message) config.assertions;
  defined = if config.services.network-metrics-exporter.enable then defined [ ] system.options definitions else [ ];
  options = lib.mapAttrs (_: option: {
    inherit (option) description;
    text = option.defaultText.text or null;
    value = if option ? defaultText then null else option.default;
  }) system.options.services.network-metrics-exporter;
  etc = lib.mapAttrs (_: file: file.text) config.environment.etc;
  firewall = lib.mapAttrs (_: i: i.allowedTCPPorts) config.networking.firewall.interfaces;
  units = renderAll "service" config.systemd.services // renderAll "timer" config.systemd.timers;
  wantedBy = lib.filterAttrs (_: targets: targets != [ ]) (
    lib.mapAttrs' (name: unit: lib.nameValuePair "${name}.service" unit.wantedBy) config.systemd.services
    // lib.mapAttrs' (name: unit: lib.nameValuePair "${name}.timer" unit.wantedBy) config.systemd.timers
  );
  tmpfiles = lib.concatLists tmpfiles;
}
