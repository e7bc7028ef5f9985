package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"network-metrics-exporter/state"
)

// someFlows has a record of every kind.
func someFlows() *state.FlowMemory {
	return &state.FlowMemory{Counting: true, Records: []state.FlowRecord{
		{Key: 7, Traffic: [2]state.Traffic{{Bytes: 100, Packets: 2}, {Bytes: 1 << 40, Packets: 1 << 30}}},
		{Key: math.MaxUint64, Traffic: [2]state.Traffic{{Bytes: math.MaxUint64, Packets: math.MaxUint64}, {}}, Missed: 2},
		{Key: 1, RoutersOwn: true},
		{Key: 2, Offloaded: true},
		{Key: 3, Left: true, Missed: 3},
	}}
}

func TestFlowFiles(t *testing.T) {
	dir := t.TempDir()
	files := FlowFiles(filepath.Join(dir, "flows-"))
	for _, name := range []string{"flows-", "flows-0123456789abcdeg", "flows-0123456789abcdef0", "ledger"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := files.Load(1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("load what is not there: %v", err)
	}
	want := someFlows()
	first, err := files.Save(&state.FlowMemory{Counting: true})
	if err != nil {
		t.Fatal(err)
	}
	second, err := files.Save(want)
	if err != nil {
		t.Fatal(err)
	}
	if first == 0 || second == 0 || first == second {
		t.Errorf("IDs %d and %d", first, second)
	}
	// The old one is there for as long as no ledger names the new one.
	if got, err := files.Load(first); err != nil || !got.Counting || len(got.Records) != 0 {
		t.Errorf("first: %+v, %v", got, err)
	}
	files.Remove(second)
	if _, err := files.Load(first); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("load what was removed: %v", err)
	}
	got, err := files.Load(second)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("second, %v (-want +got):\n%s", err, diff)
	}
	info, err := os.Stat(files.path(second))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}

	// A file under another one's name is none of it.
	if err := os.Rename(files.path(second), files.path(5)); err != nil {
		t.Fatal(err)
	}
	if _, err := files.Load(5); !errors.Is(err, errDamaged) || !strings.Contains(err.Error(), "it has the ID of another file") {
		t.Errorf("load a file with another ID: %v", err)
	}
	if id, err := files.Save(&state.FlowMemory{}); id != 0 || err != nil {
		t.Errorf("nothing to remember: %d, %v", id, err)
	}
	files.Remove(0)
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range names {
		names[i] = filepath.Base(names[i])
	}
	if diff := cmp.Diff([]string{"flows-", "flows-0123456789abcdef0", "flows-0123456789abcdeg", "ledger"}, names); diff != "" {
		t.Errorf("files left (-want +got):\n%s", diff)
	}
	gone := FlowFiles(filepath.Join(dir, "gone", "flows-"))
	if _, err := gone.Save(want); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("save in a directory that is not there: %v", err)
	}
	gone.Remove(0)
}

// One bit that is not as it was, or one byte less, is noticed.
func TestFlowFileDamaged(t *testing.T) {
	whole := encodeFlows(someFlows(), 7)
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 0x10
		if _, err := decodeFlows(damaged, 7); !errors.Is(err, errDamaged) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := decodeFlows(whole[:i], 7); !errors.Is(err, errDamaged) {
			t.Errorf("%d of %d bytes: %v", i, len(whole), err)
		}
	}
}

// The contract: at most 48 bytes a flow.
func TestFlowFileSize(t *testing.T) {
	// Twenty years at 100 Gbit/s, in packets of 64 bytes.
	const bytes = 20 * 366 * 24 * 3600 * 100e9 / 8
	busy := state.FlowRecord{Key: math.MaxUint64}
	for d := range busy.Traffic {
		busy.Traffic[d] = state.Traffic{Bytes: bytes, Packets: bytes / 64}
	}
	const n = 1000
	file := encodeFlows(&state.FlowMemory{Counting: true, Records: slices.Repeat([]state.FlowRecord{busy}, n)}, 1)
	if len(file) > 48*n {
		t.Errorf("%d bytes for %d flows", len(file), n)
	}
}

// What is accepted is encoded as it was.
func FuzzDecodeFlows(f *testing.F) {
	f.Add(encodeFlows(someFlows(), 7))
	f.Add(encodeFlows(&state.FlowMemory{}, 7))
	f.Fuzz(func(t *testing.T, b []byte) {
		decodeFlows(b, 7)
		if len(b) < 4 {
			return
		}
		// With the right checksum more of them are looked at.
		b = binary.BigEndian.AppendUint32(b[:len(b)-4:len(b)-4], checksum(b[:len(b)-4]))
		m, err := decodeFlows(b, 7)
		if err != nil {
			if !errors.Is(err, errDamaged) {
				t.Error(err)
			}
			return
		}
		again, err := decodeFlows(encodeFlows(m, 7), 7)
		if diff := cmp.Diff(m, again); diff != "" || err != nil {
			t.Errorf("decoded again, %v (-first +second):\n%s", err, diff)
		}
	})
}

// A run that ends at any moment counts no byte twice, and loses none but what a run
// that never was would have lost too.
func TestFlowFilesAfterKill(t *testing.T) {
	const all = 5 // the steps of a run
	phone, server := netip.MustParseAddr("192.168.10.101"), netip.MustParseAddr("203.0.113.2")
	scope := state.NewScope([]netip.Prefix{netip.MustParsePrefix("192.168.10.0/24")}, nil, nil)
	for killedAt := range all {
		files := FlowFiles(filepath.Join(t.TempDir(), "flows-"))
		// What a ledger has of it.
		var ledger struct{ id, total uint64 }
		var moved uint64
		run := func(steps int) {
			memory, err := files.Load(ledger.id)
			if err != nil && (ledger.id != 0 || !errors.Is(err, fs.ErrNotExist)) {
				t.Fatal(err)
			}
			counter := state.NewFlowCounter(scope, memory, true, ledger.id == 0)
			counter.Begin()
			// One that goes on, and one that ends with each run.
			for key, bytes := range map[uint64]uint64{1: moved, 1 + moved: 100} {
				counter.Observe(&state.FlowReading{Key: key, Initiator: phone, Responder: server, HasCounters: true, Traffic: [2]state.Traffic{{Bytes: bytes, Packets: 1}}})
			}
			traffic, memory := counter.Finish()
			next := ledger
			for _, f := range traffic {
				next.total += f.All[state.Tx].Bytes
			}
			if steps == 0 {
				return
			}
			if next.id, err = files.Save(memory); err != nil {
				t.Fatal(err)
			}
			switch steps {
			case 1: // half of the file is written
				if err := os.Truncate(files.path(next.id), 40); err != nil {
					t.Fatal(err)
				}
				return
			case 2:
				return
			}
			ledger = next
			if steps > 3 {
				files.Remove(ledger.id)
			}
		}
		for i := range 20 {
			moved += 1000
			steps := all - 1
			if i%3 == 1 {
				steps = killedAt
			}
			run(steps)
		}
		moved += 1000
		run(all - 1)
		// Flows that were there for a killed run alone, nobody saw again.
		want := moved
		for i := range 21 {
			if i%3 != 1 || i == 20 || killedAt > 2 {
				want += 100
			}
		}
		if ledger.total != want {
			t.Errorf("killed after step %d: %d bytes, want %d", killedAt, ledger.total, want)
		}
		left, err := filepath.Glob(string(files) + "*")
		if err != nil || len(left) != 1 || left[0] != files.path(ledger.id) {
			t.Errorf("killed after step %d: left %v, %v", killedAt, left, err)
		}
	}
}
