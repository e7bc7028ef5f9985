# The options of NixOS that the module and the README's configurations touch, and no
# others, with their types: to define another one is an error.
{ lib, ... }:
let
  inherit (lib) mkOption types;
  option = type: default: mkOption { inherit type default; };
  list = option (types.listOf types.str) [ ];
  text = option types.str "";
  flag = option types.bool;

  # A value in a section of a unit; a list is that many lines.
  atom = types.anything // {
    description = "string, integer or boolean";
    check = v: lib.isString v || builtins.isInt v || builtins.isBool v;
  };
  value = types.coercedTo atom lib.singleton (types.listOf atom);
  section = option (types.attrsOf value) { };
  unit = {
    description = text;
    after = list;
    before = list;
    bindsTo = list;
    conflicts = list;
    partOf = list;
    requires = list;
    wants = list;
    wantedBy = list;
    unitConfig = section;
  };
in
{
  options = {
    assertions = option (types.listOf (
      types.submodule {
        options = {
          assertion = mkOption { type = types.bool; };
          message = mkOption { type = types.str; };
        };
      }
    )) [ ];
    warnings = list;

    boot.kernel.sysctl = option (types.attrsOf types.anything) { };
    boot.kernelModules = list;

    environment.etc = option (types.attrsOf (types.submodule { options.text = text; })) { };
    environment.systemPackages = option (types.listOf types.package) [ ];

    networking.firewall.enable = flag true;
    networking.firewall.interfaces = option (types.attrsOf (
      types.submodule {
        options = lib.genAttrs [ "allowedTCPPorts" "allowedUDPPorts" ] (_: option (types.listOf types.port) [ ]);
      }
    )) { };
    networking.interfaces = option (types.attrsOf (
      types.submodule {
        options.useDHCP = flag true;
        options.ipv4.addresses = option (types.listOf (
          types.submodule {
            options = {
              address = mkOption { type = types.str; };
              prefixLength = mkOption { type = types.ints.between 0 32; };
            };
          }
        )) [ ];
      }
    )) { };
    networking.nftables.enable = flag false;
    networking.nftables.ruleset = option types.lines "";
    networking.nftables.tables = option (types.attrsOf (
      types.submodule {
        options.family = mkOption { type = types.str; };
        options.content = option types.lines "";
      }
    )) { };

    services.kea = lib.genAttrs [ "dhcp4" "dhcp6" ] (_: {
      enable = flag false;
      settings = option types.anything { };
    });

    services.prometheus.enable = flag false;
    services.prometheus.scrapeConfigs = option (types.listOf types.anything) [ ];
    services.prometheus.exporters.node = {
      enable = flag false;
      port = option types.port 9100;
      extraFlags = list;
    };

    systemd.services = option (types.attrsOf (
      types.submodule {
        options = unit // {
          restartIfChanged = flag true;
          serviceConfig = section;
        };
      }
    )) { };
    systemd.timers = option (types.attrsOf (
      types.submodule {
        options = unit // {
          timerConfig = section;
        };
      }
    )) { };
    systemd.tmpfiles.settings = option (types.attrsOf (
      types.attrsOf (
        types.attrsOf (
          types.submodule {
            options = lib.genAttrs [ "mode" "user" "group" "age" ] (_: option types.str "-") // {
              argument = text;
            };
          }
        )
      )
    )) { };

    users.users = option (types.attrsOf (
      types.submodule {
        options = {
          description = text;
          isSystemUser = flag false;
          group = mkOption { type = types.str; };
        };
      }
    )) { };
    users.groups = option (types.attrsOf (types.submodule { options = { }; })) { };
  };
}
