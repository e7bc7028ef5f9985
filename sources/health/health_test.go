package health

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"network-metrics-exporter/state"
)

// The examinations are tested on a real kernel by main. Here are those whose cause
// cannot be made in a namespace: a kernel without modules, a table that is full, a
// flowtable where the kernel was built without, a queue without a program.

func TestModule(t *testing.T) {
	const module = "no_such_module"
	for _, test := range []struct {
		err  error
		want Status
	}{
		{nil, OK},
		{unix.EPROTONOSUPPORT, Fail},
		{fmt.Errorf("dump: %w", unix.EINVAL), Fail},
		{unix.EPERM, Warn},
		{fmt.Errorf("there is no chain"), OK}, // something has answered
	} {
		f := examineModule(module, test.err)
		if f.Status != test.want || !strings.Contains(f.Found, module) || (f.Cure == "") != (f.Status == OK) {
			t.Errorf("%v: %+v, want %s", test.err, f, test.want)
		}
	}
	entries, err := os.ReadDir("/sys/module")
	if err != nil || len(entries) == 0 {
		t.Fatalf("no modules: %v", err)
	}
	if f := examineModule(entries[0].Name(), unix.EINVAL); f.Status != OK {
		t.Errorf("%+v, want that %s is there", f, entries[0].Name())
	}
}

func TestConntrack(t *testing.T) {
	for _, test := range []struct {
		entries, limit uint32
		want           Status
	}{{0, 100, OK}, {79, 100, OK}, {80, 100, Warn}, {100, 100, Warn}, {1 << 31, 0, OK}, {1 << 31, 1 << 31, Warn}} {
		m := Machine{Sample: &state.Sample{Conntrack: &state.Flows{Entries: test.entries, Limit: test.limit}}}
		if f := m.conntrack()[0]; f.Status != test.want {
			t.Errorf("%d of %d: %+v, want %s", test.entries, test.limit, f, test.want)
		}
	}
}

func TestFlowtable(t *testing.T) {
	table := func(family uint8) ruleset {
		return ruleset{flowtables: []named{{place{family, "filter", ""}, "fast"}}}
	}
	for family, want := range map[uint8]Status{unix.NFPROTO_INET: Fail, unix.NFPROTO_IPV4: Fail, unix.NFPROTO_IPV6: Fail, unix.NFPROTO_NETDEV: OK} {
		if f := table(family).flowtable(); f.Status != want {
			t.Errorf("family %d: %+v, want %s", family, f, want)
		}
	}
	if f := table(unix.NFPROTO_INET).flowtable(); !strings.Contains(f.Cure, "nft delete flowtable inet filter fast") {
		t.Errorf("%+v", f)
	}
}

func TestQueue(t *testing.T) {
	encoded, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: unix.NFTA_EXPR_NAME, Data: []byte("queue\x00")}})
	if err != nil {
		t.Fatal(err)
	}
	attrs, err := netlink.NewAttributeDecoder(encoded)
	if err != nil {
		t.Fatal(err)
	}
	var u rule
	if err := u.addExpression(attrs); err != nil || !u.passes {
		t.Errorf("%v, %+v: want that packets may pass", err, u)
	}
}

func TestParseUser(t *testing.T) {
	got := parseUser("Name:\tnode_exporter\nUid:\t1\t2\t3\t106\nGid:\t4\t5\t6\t112\nGroups:\t4 27 \nNSpid:\t9\n")
	want := user{known: true, uid: 106, gids: []uint32{112, 4, 27}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(user{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := parseUser("Uid:\tnobody\n"); got.known {
		t.Errorf("%+v", got)
	}
}

func TestMay(t *testing.T) {
	path := t.TempDir() + "/file"
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	uid, gid := uint32(os.Getuid()), uint32(os.Getgid())
	for _, test := range []struct {
		mode os.FileMode
		user user
		want bool
	}{
		{0o604, user{}, true},
		{0o640, user{}, false},
		{0o640, user{known: true, uid: uid + 1, gids: []uint32{gid}}, true},
		{0o604, user{known: true, uid: uid + 1, gids: []uint32{gid}}, false},
		{0o604, user{known: true, uid: uid + 1, gids: []uint32{gid + 1}}, true},
		{0o000, user{known: true}, true}, // root
	} {
		if err := os.Chmod(path, test.mode); err != nil {
			t.Fatal(err)
		}
		if err := test.user.may(path, 4); (err == nil) != test.want {
			t.Errorf("%v for %+v: %v, want %v", test.mode, test.user, err, test.want)
		}
	}
}

func FuzzComment(f *testing.F) {
	f.Add([]byte("\x00\x05tx_1\x00"))
	f.Add([]byte("\x01\x00\x00\xff"))
	f.Fuzz(func(t *testing.T, userdata []byte) {
		if text := comment(userdata); len(text) > 255 {
			t.Errorf("%d bytes", len(text))
		}
	})
}
