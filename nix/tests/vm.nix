# A router with two clients behind NAT, all of them NixOS:
#
#     laptop ─┐
#     phone  ─┴─ br-lan [router] eth2 ─── server 203.0.113.2
#         192.168.10.1            203.0.113.1
#
# nix build .#checks.x86_64-linux.vm
let
  # The networks of the test are numbered; addresses are ours.
  lan = 1;
  wan = 2;
  on = vlan: { virtualisation.vlans = [ vlan ]; };
  address =
    lib: address:
    lib.mkForce [
      {
        inherit address;
        prefixLength = 24;
      }
    ];

  # Asks for an address by its name, and sends nothing by itself.
  client =
    { lib, ... }:
    {
      imports = [ (on lan) ];
      networking.useDHCP = false;
      networking.interfaces.eth1 = {
        useDHCP = true;
        ipv4.addresses = lib.mkForce [ ];
      };
      networking.enableIPv6 = false;
      services.timesyncd.enable = false;
    };
in
{
  name = "network-metrics-exporter";

  nodes = {
    laptop = client;
    phone = client;

    server =
      { lib, ... }:
      {
        imports = [ (on wan) ];
        networking.interfaces.eth1.ipv4.addresses = address lib "203.0.113.2";
      };

    router =
      { lib, ... }:
      {
        imports = [ ../module.nix ];
        virtualisation.vlans = [
          lan
          wan
        ];

        networking = {
          useDHCP = false;
          bridges.br-lan.interfaces = [ "eth1" ];
          interfaces.eth1.ipv4.addresses = lib.mkForce [ ];
          interfaces.br-lan.ipv4.addresses = address lib "192.168.10.1";
          interfaces.eth2.ipv4.addresses = address lib "203.0.113.1";
          nftables.enable = true;
          firewall.interfaces.br-lan.allowedUDPPorts = [ 67 ];
          nat = {
            enable = true;
            internalInterfaces = [ "br-lan" ];
            externalInterface = "eth2";
          };
        };
        services.dnsmasq = {
          enable = true;
          settings = {
            port = 0;
            interface = "br-lan";
            dhcp-authoritative = true;
            dhcp-range = [ "192.168.10.100,192.168.10.199,12h" ];
          };
        };

        # As it was written for the original, reachable from the LAN.
        services.network-metrics-exporter = {
          enable = true;
          port = 9101;
          updateInterval = 2;
          openFirewall = true;
          enableNftablesIntegration = true;
          networkPrefix = "192.168.10";
          trafficInterface = "br-lan";
        };

        # What nixos-rebuild switches to.
        specialisation.reloaded.configuration.networking.firewall.allowedTCPPorts = [ 8080 ];
        specialisation.disabled.configuration.services.network-metrics-exporter.enable = lib.mkForce false;
      };
  };

  testScript = ''
    import re

    PACKETS, SIZE = 100, 1028  # of IP, ICMP and 1000 bytes of data


    def page():
        """The metrics of a run that began after this was called, by series."""
        now = float(router.succeed("date +%s.%N"))
        series = {}
        while series.get("network_metrics_exporter_last_run_timestamp_seconds", 0) <= now:
            text = router.wait_until_succeeds("sleep 0.2; curl -sf http://localhost:9101/metrics")
            lines = re.findall(r"^([^#\s].*) (\S+)$", text, re.MULTILINE)
            series = {name: float(value) for name, value in lines}
        return series


    def traffic(name):
        """The bytes from and to a client, which has one address."""
        values = page()
        return [
            sum(
                value
                for series, value in values.items()
                if series.startswith("client_traffic_bytes{")
                and f'direction="{direction}"' in series
                and f'client="{name}"' in series
            )
            for direction in ("tx", "rx")
        ]


    def ping(client):
        """Sends what the metrics then have to count, to the byte."""
        client.succeed(f"ping -c {PACKETS} -i 0.01 -s 1000 203.0.113.2")
        return PACKETS * SIZE


    def counts(when):
        """Holds the metrics to real traffic of each client."""
        for client in laptop, phone:
            before = traffic(client.name)
            sent = ping(client)
            after = traffic(client.name)
            wanted = [value + sent for value in before]
            assert after == wanted, f"{when}: {client.name}: from {before} to {after}, want {wanted}"


    def switch(name):
        router.succeed(f"/run/booted-system/specialisation/{name}/bin/switch-to-configuration test")


    start_all()
    router.wait_for_unit("network-metrics-exporter.timer")
    router.wait_for_open_port(9101)
    server.wait_for_unit("network.target")
    for client in laptop, phone:
        client.wait_until_succeeds("ping -c 1 203.0.113.2")

    with subtest("clients have names and are online"):
        online = [series for series, value in page().items() if series.startswith("client_status{") and value == 1]
        for client in laptop, phone:
            assert any(f'client="{client.name}"' in series for series in online), online

    with subtest("bytes are counted to the byte"):
        counts("at first")

    with subtest("the LAN reaches the metrics, the WAN does not"):
        laptop.succeed("curl -sf --max-time 10 http://192.168.10.1:9101/metrics >/dev/null")
        server.fail("curl -sf --max-time 3 http://203.0.113.1:9101/metrics")

    with subtest("a reload of the ruleset stops nothing"):
        before = traffic("laptop")
        switch("reloaded")
        counts("after a switch")
        router.succeed("systemctl restart nftables.service")
        traffic("laptop")  # a run puts the accounting back
        counts("after a restart of nftables")
        after = traffic("laptop")
        assert all(a >= b for a, b in zip(after, before)), f"totals fell from {before} to {after}"

    with subtest("totals outlive a reboot"):
        before = traffic("laptop")
        router.shutdown()
        router.start()
        router.wait_for_open_port(9101)
        laptop.wait_until_succeeds("ping -c 1 203.0.113.2")
        after = traffic("laptop")
        assert all(a >= b for a, b in zip(after, before)), f"totals fell from {before} to {after}"
        counts("after a reboot")

    with subtest("a disabled service leaves nothing at work"):
        router.succeed("nft list table inet network_metrics")
        switch("disabled")
        router.fail("nft list table inet network_metrics")
        router.fail("test -e /run/network-metrics-exporter/network_metrics.prom")
        router.fail("curl -sf http://localhost:9101/metrics")

    assert router.succeed("systemctl --failed --no-legend 'network-metrics-exporter*'").strip() == ""
  '';
}
