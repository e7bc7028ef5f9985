package dhcp

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"network-metrics-exporter/state"
	"network-metrics-exporter/testdata/lab"
)

// TestReadDefaults has every default file, on an otherwise empty file system.
func TestReadDefaults(t *testing.T) {
	t.Parallel()
	contents := map[string]string{
		"/var/lib/dnsmasq/dhcp-hosts":                     "192.168.77.1 hosts\n",
		"/var/lib/dnsmasq/dnsmasq.leases":                 "0 02:00:5e:10:00:01 192.168.77.2 nixos *\n",
		"/var/lib/misc/dnsmasq.leases":                    "0 02:00:5e:10:00:01 192.168.77.3 debian *\n",
		"/etc/pihole/dhcp.leases":                         "0 02:00:5e:10:00:01 192.168.77.4 pihole *\n",
		"/var/lib/kea/kea-leases4.csv":                    "address,hwaddr,hostname\n192.168.77.5,02:00:5e:10:00:01,kea4\n",
		"/var/lib/kea/kea-leases6.csv":                    "address,duid,hostname\n2001:db8::5,00,kea6\n",
		"/var/lib/systemd/network/dhcp-server-lease/eth0": `{"BootID":"","Leases":[{"Address":[192,168,77,6],"Hostname":"networkd0"}]}`,
		"/var/lib/systemd/network/dhcp-server-lease/eth1": `{"BootID":"","Leases":[{"Address":[192,168,77,7],"Hostname":"networkd1"}]}`,
		"/run/systemd/netif/dhcp-server-lease/eth2":       `{"BootID":"","Leases":[{"Address":[192,168,77,8],"Hostname":"networkd2"}]}`,
		"/var/lib/dhcp/dhcpd.leases":                      "lease 192.168.77.9 {\n  client-hostname \"isc\";\n}\n",
		"/opt/AdGuardHome/data/leases.json":               `{"version":1,"leases":[{"static":true,"ip":"192.168.77.10","hostname":"adguard","mac":"02:00:5e:10:00:01"}]}`,
	}
	lab.Namespace(t, func(t *testing.T) {
		for _, dir := range []string{"/var/lib", "/etc", "/run", "/opt"} {
			lab.Command(t, "mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", dir)
		}
		// A machine that has none of them.
		records, files, err := Read(now, nil, nil)
		if len(records) > 0 || err != nil {
			t.Errorf("got %v, %v", records, err)
		}
		for _, f := range files {
			if f.Given || !errors.Is(f.Err, fs.ErrNotExist) {
				t.Errorf("got %+v", f)
			}
		}

		for path, text := range contents {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, path, text)
		}
		records, files, err = Read(now, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		const mac = "02:00:5e:10:00:01"
		want := []state.NameRecord{
			static("192.168.77.1", "", "hosts"),
			dhcp("192.168.77.2", mac, "nixos"), dhcp("192.168.77.3", mac, "debian"), dhcp("192.168.77.4", mac, "pihole"),
			dhcp("192.168.77.5", mac, "kea4"), dhcp("2001:db8::5", "", "kea6"),
			dhcp("192.168.77.6", "", "networkd0"), dhcp("192.168.77.7", "", "networkd1"), dhcp("192.168.77.8", "", "networkd2"),
			dhcp("192.168.77.9", "", "isc"), static("192.168.77.10", mac, "adguard"),
		}
		if diff := cmp.Diff(want, records, equal); diff != "" {
			t.Errorf("records (-want +got):\n%s", diff)
		}
		if len(files) != len(contents) {
			t.Errorf("got %d files, want %d", len(files), len(contents))
		}
		for _, f := range files {
			if f.Given || f.Format == "" || f.Records != 1 || f.Err != nil {
				t.Errorf("got %+v", f)
			}
		}
	})
}

// TestReadGiven holds that given files take the place of the default ones of their
// kind, and have to be there.
func TestReadGiven(t *testing.T) {
	dir := t.TempDir()
	first, second := write(t, dir+"/1", "0 02:00:5e:10:00:01 192.168.77.1 a *\n"), write(t, dir+"/2", "0 02:00:5e:10:00:01 192.168.77.1 b *\nbad\n")
	hosts := write(t, dir+"/hosts", "192.168.77.1 c\n")
	records, files, err := Read(now, []string{first, second, dir + "/*"}, []string{hosts})
	want := []state.NameRecord{
		static("192.168.77.1", "", "c"), dhcp("192.168.77.1", "02:00:5e:10:00:01", "a"), dhcp("192.168.77.1", "02:00:5e:10:00:01", "b"),
	}
	if diff := cmp.Diff(want, records, equal); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	wantErr := fmt.Sprintf("parse %q: line 2: want \"EXPIRY MAC IP NAME CLIENTID\"\nopen %q: no such file or directory", second, dir+"/*")
	if diff := cmp.Diff(wantErr, message(err)); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
	for i, want := range []File{
		{Kind: Hosts, Path: hosts, Given: true, Format: "hosts", Records: 1},
		{Kind: Leases, Path: first, Given: true, Format: "dnsmasq", Records: 1},
		{Kind: Leases, Path: second, Given: true, Format: "dnsmasq", Records: 1, Err: files[2].Err},
		{Kind: Leases, Path: dir + "/*", Given: true, Err: files[3].Err},
	} {
		if files[i] != want {
			t.Errorf("got %+v, want %+v", files[i], want)
		}
	}
}

// TestFailures says which files that cannot be read make the source fail.
func TestFailures(t *testing.T) {
	hidden, missing, damaged := fmt.Errorf("open: %w", errHidden), fmt.Errorf("open: %w", fs.ErrNotExist), errors.New("damaged")
	leases := func(given bool, err error) File { return File{Kind: Leases, Given: given, Err: err} }
	for name, test := range map[string]struct {
		files []File
		want  bool
	}{
		"none":                                 {nil, false},
		"read":                                 {[]File{leases(false, nil)}, false},
		"default, missing":                     {[]File{leases(false, missing)}, false},
		"given, missing":                       {[]File{leases(false, nil), leases(true, missing)}, true},
		"default, damaged":                     {[]File{leases(false, nil), leases(false, damaged)}, true},
		"default, unreadable":                  {[]File{leases(false, nil), leases(false, fs.ErrPermission)}, true},
		"default, perhaps there":               {[]File{leases(false, missing), leases(false, hidden)}, true},
		"default, perhaps there, another read": {[]File{leases(false, hidden), leases(false, nil)}, false},
		"given, perhaps there, another read":   {[]File{leases(true, hidden), leases(true, nil)}, true},
		"perhaps there, static entries read":   {[]File{{Kind: Hosts}, leases(false, hidden)}, true},
	} {
		if err := failures(test.files); (err != nil) != test.want {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
