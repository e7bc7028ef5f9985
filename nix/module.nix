# services.network-metrics-exporter. The units are those of ../systemd, read by
# unit.nix; what NixOS does otherwise stands below, where they are put together.
{
  config,
  lib,
  pkgs,
  utils,
  ...
}:

let
  inherit (lib) literalExpression mkOption types;

  cfg = config.services.network-metrics-exporter;
  option = name: "services.network-metrics-exporter.${name}";
  program = "network-metrics-exporter";

  # Types. Each says in a word what it wants, instead of a pattern.
  described = description: type: type // { inherit description; };
  octet = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
  ipv4 = "${octet}(\\.${octet}){3}";
  ipv6 = "[0-9A-Fa-f:]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*";
  interface = described "name of a network interface (1 to 15 characters, no blank, / or :)" (
    types.strMatching "[^[:space:]/:]{1,15}"
  );
  network =
    described "network (three octets such as 192.168.10, or a CIDR such as 192.168.10.0/24 or fd00::/64)"
      (
        types.strMatching (
          "${octet}(\\.${octet}){2}"
          + "|${ipv4}/(3[0-2]|[12]?[0-9])"
          + "|${ipv6}/(12[0-8]|1[01][0-9]|[1-9]?[0-9])"
        )
      );
  address = described "IP address" (types.strMatching "${ipv4}|${ipv6}");
  mac = described "MAC address such as 02:00:5e:10:00:01" (
    types.strMatching "[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}"
  );
  duration = described "duration such as 60s or 5m, or 0" (
    types.strMatching "0|([0-9]+(ms|[smhdwy]))+"
  );

  # The file of metrics, and whether to serve it.
  served = cfg.textfileDirectory == null;
  directory = if served then "/run/${program}" else toString cfg.textfileDirectory;
  metrics = "${directory}/network_metrics.prom";

  staticClients = "${program}/static-clients";
  # A name in a file ends at a blank, and # begins a comment.
  clientLine =
    client:
    let
      name = lib.replaceStrings [ " " "\t" "\n" "\r" "#" "," ] [ "_" "_" "_" "_" "_" "_" ] client.hostname;
      # Only such a name can be told from the other fields of a dhcp-host.
      plain = builtins.match "[A-Za-z][A-Za-z0-9._-]*" name != null;
      ip = if lib.hasInfix ":" client.ip then "[${client.ip}]" else client.ip;
    in
    if client.mac != null && plain then
      "${lib.replaceStrings [ "-" ] [ ":" ] client.mac},${name},${ip}\n"
    else
      "${client.ip} ${name}\n";

  flags =
    [
      "--output=${metrics}"
      "--accounting=${cfg.accounting}"
      "--interval=${toString cfg.updateInterval}"
      "--period-start=${toString cfg.periodStart}"
    ]
    ++ map (name: "--interface=${name}") cfg.interfaces
    ++ map (cidr: "--network=${cidr}") cfg.networks
    ++ map (path: "--leases=${path}") (cfg.leases ++ lib.optionals cfg.keaLeases keaFiles)
    # The first to name a client counts.
    ++ lib.optional (cfg.staticClients != { }) "--hosts=/etc/${staticClients}"
    ++ map (path: "--hosts=${path}") cfg.hosts
    ++ lib.optional cfg.reverseDns "--reverse-dns"
    ++ cfg.extraFlags;
  run =
    more:
    utils.escapeSystemdExecArgs (
      [
        (lib.getExe cfg.package)
        "sample"
      ]
      ++ flags
      ++ more
    );

  # Flags that extraFlags cannot have, and the option of each.
  ownFlags = {
    "--output" = "textfileDirectory";
    "--accounting" = "accounting";
    "--interval" = "updateInterval";
    "--interface" = "interfaces";
    "--network" = "networks";
    "--leases" = "leases";
    "--hosts" = "hosts";
    "--reverse-dns" = "reverseDns";
    "--no-reverse-dns" = "reverseDns";
    "--checkpoint-interval" = "checkpointInterval";
    "--period-start" = "periodStart";
  };
  taken = lib.filter (flag: ownFlags ? ${flag}) (
    map (flag: lib.head (lib.splitString "=" flag)) cfg.extraFlags
  );

  # A calendar does not drift, but divides minutes only.
  schedule =
    if cfg.updateInterval == 60 then
      { OnCalendar = "*:*:00"; }
    else if lib.mod 60 cfg.updateInterval == 0 then
      { OnCalendar = "*:*:0/${toString cfg.updateInterval}"; }
    else
      {
        OnBootSec = "0";
        OnUnitActiveSec = "${toString cfg.updateInterval}s";
      };

  isLoopback = address: address == "localhost" || address == "::1" || lib.hasPrefix "127." address;
  listen =
    (if lib.hasInfix ":" cfg.listenAddress then "[${cfg.listenAddress}]" else cfg.listenAddress)
    + ":${toString cfg.port}";

  nodeExporter = config.services.prometheus.exporters.node;

  # Addresses that NixOS gives the LAN interfaces.
  lanAddresses = lib.concatMap (
    name: map (a: a.address) (config.networking.interfaces.${name} or { }).ipv4.addresses or [ ]
  ) cfg.interfaces;

  # Where Kea's servers keep their leases, of those that are enabled.
  kea = config.services.kea;
  keaFiles =
    let
      file = server: default: server.settings.lease-database.name or default;
    in
    lib.optional kea.dhcp4.enable (file kea.dhcp4 "/var/lib/kea/kea-leases4.csv")
    ++ lib.optional kea.dhcp6.enable (file kea.dhcp6 "/var/lib/kea/kea-leases6.csv");

  # What stands between the braces of each flowtable.
  nftables = config.networking.nftables;
  flowtables = lib.concatMap (part: lib.optional (lib.isList part) (lib.head part)) (
    builtins.split "flowtable [^ {]+ *\\{(([^{}]*\\{[^{}]*})*[^{}]*)}" (
      lib.concatStringsSep "\n" (
        [ nftables.ruleset ] ++ map (table: table.content) (lib.attrValues nftables.tables)
      )
    )
  );
  isCounted = flowtable: lib.elem "counter" (lib.filter lib.isString (builtins.split "[[:space:];]+" flowtable));

  # Units of ../systemd as NixOS has them: each section an option, and what it has
  # options for in those.
  read = files: import ./unit.nix { inherit lib; } (map (file: ../systemd + "/${file}") files);
  words = value: lib.filter (word: word != "") (lib.splitString " " (toString value));
  relations = {
    After = "after";
    Before = "before";
    BindsTo = "bindsTo";
    Conflicts = "conflicts";
    PartOf = "partOf";
    Requires = "requires";
    Wants = "wants";
  };
  common =
    unit:
    {
      description = unit.Unit.Description;
      wantedBy = words (unit.Install.WantedBy or "");
      unitConfig = removeAttrs unit.Unit ([ "Description" ] ++ lib.attrNames relations);
    }
    // lib.mapAttrs' (name: value: lib.nameValuePair relations.${name} (words value)) (
      builtins.intersectAttrs relations unit.Unit
    );
  # Without the file of settings, and the variables for what it does not set.
  service =
    files: serviceConfig:
    let
      unit = read files;
    in
    common unit
    // {
      serviceConfig =
        removeAttrs unit.Service [
          "Environment"
          "EnvironmentFile"
        ]
        // serviceConfig;
    };
  # One that runs the program: its drop-in says what it may do.
  dropIn = "network-metrics-exporter.service.d/sandbox.conf";
  sandbox = (read [ dropIn ]).Service;
  sandboxed =
    file: serviceConfig:
    service
      [
        file
        dropIn
      ]
      (
        { inherit (sandbox) Environment; }
        // lib.optionalAttrs cfg.keaLeases (
          lib.genAttrs [ "AmbientCapabilities" "CapabilityBoundingSet" ] (key: [
            sandbox.${key}
            "CAP_DAC_READ_SEARCH"
          ])
        )
        // lib.optionalAttrs (!served) { ReadWritePaths = [ directory ]; }
        // serviceConfig
      );
  timer = read [ "network-metrics-exporter.timer" ];
in
{
  options.services.network-metrics-exporter = {
    enable = lib.mkEnableOption "network-metrics-exporter, per-client network metrics for Prometheus";

    package = mkOption {
      type = types.package;
      # Not of pkgs: an overlay may have another program by this name.
      default = pkgs.callPackage ./package.nix { };
      defaultText = literalExpression "pkgs.callPackage ./package.nix { }";
      description = "The network-metrics-exporter package to use.";
    };

    port = mkOption {
      type = types.port;
      default = 9101;
      description = "Port on which the metrics are served, by a node_exporter that serves nothing else.";
    };

    listenAddress = mkOption {
      type = types.str;
      default = if cfg.openFirewall then "" else "localhost";
      defaultText = literalExpression ''if openFirewall then "" else "localhost"'';
      example = "192.168.10.1";
      description = "Address on which the metrics are served; empty for all of them.";
    };

    openFirewall = mkOption {
      type = types.bool;
      default = false;
      description = "Whether to open {option}`port` in the firewall, on the LAN interfaces alone.";
    };

    textfileDirectory = mkOption {
      type = types.nullOr types.path;
      default = null;
      example = "/var/lib/prometheus-node-exporter-text-files";
      description = ''
        Directory of a node_exporter that runs already, its
        `--collector.textfile.directory`, to put the metrics in. Nothing is then
        served on {option}`port`. The directory is made if it is missing; the
        program is given the right to write to it by an ACL.
      '';
    };

    updateInterval = mkOption {
      type = types.ints.between 1 3600;
      default = 2;
      description = "Seconds between two samples.";
    };

    checkpointInterval = mkOption {
      type = duration;
      default = "0";
      example = "60s";
      description = ''
        How often totals are written to the disk; names are when they change.
        0 is at each sample; a minute spares a router's flash, and costs no
        totals even if the power fails.
      '';
    };

    enableNftablesIntegration = mkOption {
      type = types.bool;
      default = true;
      description = ''
        Whether the program sets up in nftables what counts the bytes, and puts it
        back when a ruleset was reloaded. Without, it reads the rules of chain
        `CLIENT_TRAFFIC` in table `inet filter`, which are then yours to make.
      '';
    };

    accounting = mkOption {
      type = types.enum [
        "sets"
        "rules"
        "flows"
        "off"
      ];
      default = if cfg.enableNftablesIntegration then "sets" else "off";
      defaultText = literalExpression ''if enableNftablesIntegration then "sets" else "off"'';
      description = ''
        How bytes are counted: by sets in a table of its own (`sets`), by two rules
        for each client in table `inet filter` (`rules`), by conntrack and sets
        (`flows`, for routers with a flowtable; it sets the sysctl
        `net.netfilter.nf_conntrack_acct`), or by what is there already (`off`).
      '';
    };

    periodStart = mkOption {
      type = types.ints.between 1 31;
      default = 1;
      description = ''
        Day of the month on which a new period begins, at midnight local time; in
        shorter months their last day.
      '';
    };

    trafficInterface = mkOption {
      type = interface;
      default = "br-lan";
      description = "The LAN interface, if there is one: whose neighbours are clients.";
    };

    interfaces = mkOption {
      type = types.nonEmptyListOf interface;
      default = [ cfg.trafficInterface ];
      defaultText = literalExpression "[ trafficInterface ]";
      example = [
        "br-lan"
        "br-guest"
      ];
      description = "The LAN interfaces: whose neighbours are clients.";
    };

    networkPrefix = mkOption {
      type = network;
      default = "192.168.10";
      description = ''
        The IPv4 network of the clients, if there is one: its three octets, or a CIDR.
      '';
    };

    networks = mkOption {
      type = types.listOf network;
      default = [ cfg.networkPrefix ];
      defaultText = literalExpression "[ networkPrefix ]";
      example = [ ];
      description = ''
        The networks of the clients. For a family of which none is given, IPv4 or
        IPv6, they are those configured on the LAN interfaces; so the empty list
        stands for all of these.
      '';
    };

    leases = mkOption {
      type = types.listOf types.path;
      default = [ ];
      example = [ "/srv/dnsmasq/dnsmasq.leases" ];
      description = ''
        Lease files from which clients get their names; none for those of the usual
        DHCP servers where they usually are. The user network-metrics-exporter has to
        be able to read them.
      '';
    };

    keaLeases = mkOption {
      type = types.bool;
      default = false;
      description = ''
        Whether to read the leases of `services.kea`, which NixOS keeps from everybody
        but Kea: the program then gets the capability CAP_DAC_READ_SEARCH, to read any
        file.
      '';
    };

    hosts = mkOption {
      type = types.listOf types.path;
      default = [ ];
      example = [ "/var/lib/dnsmasq/dhcp-hosts" ];
      description = ''
        Files of static names, as in {manpage}`hosts(5)`, {manpage}`ethers(5)` or as
        dnsmasq's `dhcp-host`. They win over leases. With none here and no
        {option}`staticClients`, it is `/var/lib/dnsmasq/dhcp-hosts` if that exists.
      '';
    };

    staticClients = mkOption {
      type = types.attrsOf (
        types.submodule {
          options = {
            ip = mkOption {
              type = address;
              description = "Address of the client.";
            };
            mac = mkOption {
              type = types.nullOr mac;
              default = null;
              description = "Its MAC address: all addresses of this device have the name.";
            };
            hostname = mkOption {
              type = types.nonEmptyStr;
              description = "Its name.";
            };
            deviceType = mkOption {
              type = types.str;
              default = "unknown";
              description = "What it is. For you to read; the metrics do not have it.";
            };
          };
        }
      );
      default = { };
      example = {
        printer = {
          ip = "192.168.10.102";
          mac = "02:00:5e:10:00:03";
          hostname = "printer";
        };
      };
      description = "Static names, put in a file beside those of {option}`hosts`.";
    };

    reverseDns = mkOption {
      type = types.bool;
      default = false;
      description = "Whether to ask the system's resolver for the names that nobody else knows.";
    };

    extraFlags = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [
        "--online-window=10m"
        "--max-clients=256"
      ];
      description = "Further flags of the program.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.port != 0;
        message = "${option "port"} is 0: want a port that Prometheus can be told.";
      }
      {
        assertion = !(served && nodeExporter.enable && nodeExporter.port == cfg.port);
        message = ''
          ${option "port"} is ${toString cfg.port}, which services.prometheus.exporters.node has:
          choose another one, or let that node_exporter serve the metrics by ${option "textfileDirectory"}.
        '';
      }
      {
        assertion = cfg.enableNftablesIntegration || cfg.accounting == "off";
        message = ''
          ${option "accounting"} is "${cfg.accounting}", but ${option "enableNftablesIntegration"} is false:
          remove one of the two.
        '';
      }
    ]
    ++ map (flag: {
      assertion = false;
      message = ''
        ${option "extraFlags"} has ${flag}: set ${option ownFlags.${flag}} instead.
      '';
    }) taken;

    warnings =
      lib.optional (cfg.accounting == "flows" && !lib.all isCounted flowtables) ''
        ${option "accounting"} is "flows", but networking.nftables has a flowtable without `counter;`: what it
        forwards is not counted. Add `counter;` to the flowtable.
      ''
      ++ lib.optional (lib.elem cfg.accounting [ "sets" "rules" ] && flowtables != [ ]) ''
        networking.nftables has a flowtable, whose packets ${option "accounting"} = "${cfg.accounting}" does not
        see: set it to "flows".
      ''
      ++ lib.optional (cfg.keaLeases && keaFiles == [ ]) ''
        ${option "keaLeases"} is true, but neither services.kea.dhcp4 nor services.kea.dhcp6 is enabled.
      ''
      ++ lib.optional (served && cfg.openFirewall && !config.networking.firewall.enable) ''
        ${option "openFirewall"} opens nothing, as networking.firewall.enable is false: let your own
        ruleset accept TCP port ${toString cfg.port} on ${toString cfg.interfaces}, and on no other interface.
      ''
      ++ lib.optional (!served && cfg.openFirewall) ''
        ${option "openFirewall"} opens nothing, as ${option "textfileDirectory"} is set: open the port of
        the node_exporter that reads it.
      ''
      ++ lib.optional (served && cfg.openFirewall && isLoopback cfg.listenAddress) ''
        ${option "openFirewall"} opens the port to nobody, as ${option "listenAddress"} is
        ${cfg.listenAddress}: remove one of the two.
      ''
      ++ lib.optional (!served && nodeExporter.enable && !lib.any (lib.hasInfix directory) nodeExporter.extraFlags) ''
        ${option "textfileDirectory"} is not read by services.prometheus.exporters.node: add
        "--collector.textfile.directory=${directory}" to its extraFlags.
      ''
      ++
        lib.optional
          (
            cfg.networks == [ cfg.networkPrefix ]
            && !lib.hasInfix "/" cfg.networkPrefix
            && lanAddresses != [ ]
            && !lib.any (lib.hasPrefix "${cfg.networkPrefix}.") lanAddresses
          )
          ''
            ${option "networkPrefix"} is ${cfg.networkPrefix}, where the LAN interfaces have no address: nobody
            will be a client. Set ${option "networks"} to [ ] for the networks that they are in.
          '';

    # Without the module there is no such sysctl at boot.
    boot.kernelModules = lib.optional (cfg.accounting == "flows") "nf_conntrack";
    boot.kernel.sysctl = lib.mkIf (cfg.accounting == "flows") {
      "net.netfilter.nf_conntrack_acct" = lib.mkDefault 1;
    };

    users.users.${program} = {
      description = "network-metrics-exporter";
      isSystemUser = true;
      group = program;
    };
    users.groups.${program} = { };

    # For show and check, by hand.
    environment.systemPackages = [ cfg.package ];

    environment.etc.${staticClients} = lib.mkIf (cfg.staticClients != { }) {
      text = lib.concatMapStringsSep "" clientLine (lib.attrValues cfg.staticClients);
    };

    networking.firewall.interfaces = lib.mkIf (served && cfg.openFirewall) (
      lib.genAttrs cfg.interfaces (_: {
        allowedTCPPorts = [ cfg.port ];
      })
    );

    systemd.tmpfiles.settings."10-${program}".${directory} =
      if served then
        {
          # node_exporter finds it before the first sample.
          d = {
            mode = "0755";
            user = program;
            group = program;
          };
        }
      else
        {
          # Whoever has it keeps it.
          d = { };
          "a+".argument = "u:${program}:rwx";
        };

    systemd.timers.network-metrics-exporter = common timer // {
      timerConfig = removeAttrs timer.Timer [ "OnCalendar" ] // schedule;
    };

    systemd.services = {
      network-metrics-exporter = sandboxed "network-metrics-exporter.service" {
        ExecStart = run [ "--checkpoint-interval=${cfg.checkpointInterval}" ];
      };

      network-metrics-exporter-stop = sandboxed "network-metrics-exporter-stop.service" {
        ExecStop = "-${run [ ]}";
        ExecStopPost = utils.escapeSystemdExecArgs [
          (lib.getExe' pkgs.coreutils "rm")
          "-f"
          metrics
        ];
      };

      # Only NixOS has this: to disable the service is all the uninstalling there
      # is. It is active for as long as the service is enabled, upgrades and stopped
      # timers included, and takes down what counts when it is not any more.
      network-metrics-exporter-accounting = lib.mkIf (cfg.accounting != "off") {
        description = "Accounting of the network's clients";
        wantedBy = [ "multi-user.target" ];
        # Its end comes after the last sample.
        before = [ "network-metrics-exporter-stop.service" ];
        restartIfChanged = false;
        serviceConfig = sandbox // {
          Type = "oneshot";
          RemainAfterExit = true;
          ExecStop = utils.escapeSystemdExecArgs [
            (lib.getExe cfg.package)
            "teardown"
          ];
          TimeoutStopSec = "30s";
        };
      };

      network-metrics-exporter-http = lib.mkIf served (
        service [ "network-metrics-exporter-http.service" ] {
          ExecStart = utils.escapeSystemdExecArgs [
            (lib.getExe pkgs.prometheus-node-exporter)
            "--collector.disable-defaults"
            "--collector.textfile"
            "--collector.textfile.directory=${directory}"
            "--web.disable-exporter-metrics"
            "--web.listen-address=${listen}"
            "--log.level=warn"
          ];
        }
      );
    };
  };
}
