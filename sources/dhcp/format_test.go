package dhcp

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDetect(t *testing.T) {
	const want = ": want the leases of dnsmasq, Kea, systemd-networkd, ISC dhcpd or AdGuard Home"
	const asHosts = "looks like static entries: want them given by --hosts=PATH"
	for name, test := range map[string]struct{ text, format, err string }{
		"empty":                    {"", "empty", ""},
		"white space":              {" \n\n", "empty", ""},
		"dnsmasq":                  {"1795421785 02:00:5e:10:00:01 192.168.77.176 phone *\n", "dnsmasq", ""},
		"dnsmasq for IPv6":         {"duid 00:01:00:01\n", "dnsmasq", ""},
		"dnsmasq, first line bad":  {"nonsense\n0 02:00:5e:10:00:01 192.168.77.176 phone *\n", "dnsmasq", ""},
		"dnsmasq, cut":             {"17954", "dnsmasq", ""},
		"Kea":                      {"address,hwaddr,client_id\n", "Kea", ""},
		"Kea, cut":                 {"addr", "Kea", ""},
		"networkd":                 {"{\n\t\"BootID\" : \"00\"", "systemd-networkd", ""},
		"networkd, another order":  {`{"Leases":[],"BootID":""}`, "systemd-networkd", ""},
		"AdGuard Home":             {`{"version":1,"leases":null}`, "AdGuard Home", ""},
		"AdGuard Home, dhcpsvc":    {"{\n  \"leases\": [", "AdGuard Home", ""},
		"ISC, a new file":          {"# The format of this file is documented in the dhcpd.leases(5) manual page.\n", "ISC dhcpd", ""},
		"ISC":                      {"\nauthoring-byte-order little-endian;\n", "ISC dhcpd", ""},
		"ISC, old":                 {"# All times in this file are in UTC\nlease 192.168.77.1 {\n", "ISC dhcpd", ""},
		"ISC for IPv6":             {"ia-na \"\\001\" {\n", "ISC dhcpd", ""},
		"dhclient":                 {"default-duid \"\\000\";\nlease {\n", "", "looks like leases of a DHCP client" + want},
		"dhclient, old":            {"lease {\n  interface \"eth0\";\n", "", "looks like leases of a DHCP client" + want},
		"libvirt":                  {"[\n  {\n    \"ip-address\"", "", "looks like JSON of another program" + want},
		"router7":                  {`[{"num":0,"addr"`, "", "looks like JSON of another program" + want},
		"other JSON":               {`{"Dhcp4":{}}`, "", "looks like JSON of another program" + want},
		"cut JSON":                 {`{`, "", "looks like JSON of another program" + want},
		"no JSON":                  {`{x`, "", "looks like JSON of another program" + want},
		"Pi-hole v6":               {"# Pi-hole\n[dhcp]\nhosts = []\n", "", "looks like a configuration file" + want},
		"XML":                      {"<?xml version=\"1.0\"?>\n", "", "looks like XML" + want},
		"SQLite":                   {"SQLite format 3\x00\x10", "", "looks like an SQLite database" + want},
		"binary":                   {"\x7fELF\x02\x01\x01\x00", "", "looks like binary data" + want},
		"a hosts file":             {"127.0.0.1 localhost\n192.168.77.1 a\n", "", asHosts},
		"ethers":                   {"# mine\n02:00:5e:10:00:01 phone\n", "", asHosts},
		"dhcp-host":                {"dhcp-host=02:00:5e:10:00:01,phone\n", "", asHosts},
		"odhcpd":                   {"fd00::1\tlaptop.lan\tlaptop\n# br-lan 0001 1a2c laptop 1 1 128 fd00::1/128\n", "", asHosts},
		"prose":                    {"Leases are kept elsewhere.\n", "", "looks like text of another kind" + want},
		"comments":                 {"# nothing\n", "", "looks like text of another kind" + want},
		"a name that is of no use": {"\"BootID\"", "", "looks like text of another kind" + want},
	} {
		t.Run(name, func(t *testing.T) {
			got, known := detect(test.text)
			if got.name != test.format || known != (test.err == "") {
				t.Errorf("got %q, %t, want %q", got.name, known, test.format)
			}
			if diff := cmp.Diff(test.err, message(unknownFormat(test.text))); !known && diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

// TestReadOtherKind has files that were given by the wrong flag: the error says so,
// and nothing of them is taken.
func TestReadOtherKind(t *testing.T) {
	for _, path := range []string{leasesFile, kea4File, isc4File, networkdFilePath, adguardFilePath} {
		f := File{Path: path}
		if got := readHosts(&f); len(got) > 0 || !strings.HasSuffix(message(f.Err), ": want them given by --leases=PATH") {
			t.Errorf("%s: got %v, error %v", path, got, f.Err)
		}
	}
	for _, path := range []string{hostsFile, dhcpHostsFile, badDHCPHostsFile} {
		f := File{Path: path}
		if got := readLeases(&f, now); len(got) > 0 || !strings.HasSuffix(message(f.Err), "looks like static entries: want them given by --hosts=PATH") {
			t.Errorf("%s: got %v, error %v", path, got, f.Err)
		}
	}
}

// FuzzDetect holds that no file is too strange, and that an error quotes none.
func FuzzDetect(f *testing.F) {
	paths, err := filepath.Glob("../../testdata/dhcp/*-*")
	if err != nil || len(paths) < 10 {
		f.Fatal(paths, err)
	}
	for _, path := range paths {
		file, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file[:min(len(file), 300)])
	}
	f.Add([]byte("{\"a\": 1, "))
	f.Add([]byte("#\n{"))
	f.Fuzz(func(t *testing.T, file []byte) {
		format, known := detect(string(file))
		if known != (format.parse != nil) || known != (format.name != "") {
			t.Errorf("known: %t, got %+v", known, format)
		}
		if err := unknownFormat(string(file)); !strings.HasPrefix(err.Error(), "looks like ") || !strings.Contains(err.Error(), ": want the") {
			t.Errorf("got error %q", err)
		}
	})
}
