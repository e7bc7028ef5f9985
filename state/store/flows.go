package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"network-metrics-exporter/state"
)

// A file of flows on disk is a line that names format and version, the ID of the
// file in 8 bytes, big-endian, a byte that is 1 if the layout flows counted, the
// number of records as a varint, the records, and the CRC-32C of all that,
// big-endian. A record is the key in 8 bytes, big-endian, a byte of bits, and, but
// for flows that are the router's own, bytes and packets of both directions as
// varints: at most 48 bytes for what a line of 100 Gbit/s moves in 20 years, about
// 20 for most flows.
const flowsMagic = "network-metrics-exporter flows 1\n"

// The bits of a record. Missed takes two.
const (
	routersOwnBit = 1 << iota
	offloadedBit
	leftBit
	missedShift = iota
	mostMissed  = 3
)

// maxFlows is the size beyond which a file holds no flows, in bytes: that of some
// five million.
const maxFlows = 128 << 20

// FlowFiles is where what is remembered of single flows is kept: the beginning of a
// path in the runtime directory, which ends with the boot as the flows do. What
// follows is the ID of a file, which the ledger has of the one that belongs to it.
// So a run that ends at any moment leaves a ledger and the flows that go with it.
type FlowFiles string

// FlowFiles returns where what is remembered of single flows is kept. Several
// installations can share the runtime directory: their files are told apart by
// device and inode of the state directory, which stay what they are even where
// nothing in it can be read.
func (p Paths) FlowFiles() FlowFiles {
	var stat syscall.Stat_t
	syscall.Stat(p.Dir, &stat) // without a state directory there is no file either
	return FlowFiles(filepath.Join(p.Runtime, fmt.Sprintf("flows-%x-%x-", stat.Dev, stat.Ino)))
}

// path returns that of the file with an ID.
func (f FlowFiles) path(id uint64) string { return fmt.Sprintf("%s%016x", string(f), id) }

// Load reads the file with that ID; nil if that is 0. The error is fs.ErrNotExist
// underneath if there is none.
func (f FlowFiles) Load(id uint64) (*state.FlowMemory, error) {
	if id == 0 {
		return nil, nil
	}
	data, err := read(f.path(id), maxFlows)
	var m *state.FlowMemory
	if err == nil {
		m, err = decodeFlows(data, id)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.path(id), err)
	}
	return m, nil
}

// Save writes a new file and returns its ID. If there is nothing to remember it
// writes none and returns 0.
func (f FlowFiles) Save(m *state.FlowMemory) (id uint64, err error) {
	if !m.Counting && len(m.Records) == 0 {
		return 0, nil
	}
	for id == 0 {
		id = rand.Uint64()
	}
	// It needs no sync: a power cut ends the boot.
	file, err := os.OpenFile(f.path(id), os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return 0, err
	}
	_, err = file.Write(encodeFlows(m, id))
	if err := errors.Join(err, file.Close()); err != nil {
		os.Remove(f.path(id))
		return 0, err
	}
	return id, nil
}

// Remove removes all files but those with these IDs. What cannot be removed harms
// nobody.
func (f FlowFiles) Remove(keep ...uint64) {
	dir, prefix := filepath.Split(string(f))
	entries, err := os.ReadDir(filepath.Clean(dir))
	if err != nil {
		return
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		id, ours := strings.CutPrefix(e.Name(), prefix)
		if !ours || len(id) != 16 || strings.Trim(id, "0123456789abcdef") != "" || !e.Type().IsRegular() {
			continue
		}
		if !slices.ContainsFunc(keep, func(id uint64) bool { return path == filepath.Clean(f.path(id)) }) {
			os.Remove(path)
		}
	}
}

// SaveFlows writes what is remembered of flows to a file of a new name, and notes in
// the ledger, which has to be saved next, which it is. If m is nil, the ledger keeps
// the file that it has. After an error it has none.
func (d *Dir) SaveFlows(l *state.Ledger, m *state.FlowMemory) (err error) {
	if m != nil {
		l.FlowFile, err = d.paths.FlowFiles().Save(m)
	}
	return err
}

// encodeFlows returns the file with that ID.
func encodeFlows(m *state.FlowMemory, id uint64) []byte {
	b := make([]byte, 0, len(flowsMagic)+32+24*len(m.Records))
	b = append(b, flowsMagic...)
	b = binary.BigEndian.AppendUint64(b, id)
	b = append(b, bit(m.Counting, 1))
	b = binary.AppendUvarint(b, uint64(len(m.Records)))
	for i := range m.Records {
		r := &m.Records[i]
		b = binary.BigEndian.AppendUint64(b, r.Key)
		b = append(b, bit(r.RoutersOwn, routersOwnBit)|bit(r.Offloaded, offloadedBit)|bit(r.Left, leftBit)|min(r.Missed, mostMissed)<<missedShift)
		if r.RoutersOwn {
			continue
		}
		for _, t := range r.Traffic {
			b = binary.AppendUvarint(b, t.Bytes)
			b = binary.AppendUvarint(b, t.Packets)
		}
	}
	return binary.BigEndian.AppendUint32(b, checksum(b))
}

// bit returns one if it is set.
func bit(set bool, bit byte) byte {
	if set {
		return bit
	}
	return 0
}

// decodeFlows returns what the file with that ID holds.
func decodeFlows(b []byte, id uint64) (*state.FlowMemory, error) {
	const head = len(flowsMagic) + 8 + 1
	if len(b) < head+1+4 || string(b[:len(flowsMagic)]) != flowsMagic {
		return nil, fmt.Errorf("%w: it does not begin with %q", errDamaged, flowsMagic)
	}
	body := b[:len(b)-4]
	if checksum(body) != binary.BigEndian.Uint32(b[len(body):]) {
		return nil, fmt.Errorf("%w: its checksum is wrong", errDamaged)
	}
	if binary.BigEndian.Uint64(body[len(flowsMagic):]) != id {
		return nil, fmt.Errorf("%w: it has the ID of another file", errDamaged)
	}
	m := &state.FlowMemory{Counting: body[head-1] == 1}
	count, n := binary.Uvarint(body[head:])
	if n <= 0 || count > uint64(len(body))/9 {
		return nil, errForm
	}
	m.Records = make([]state.FlowRecord, count)
	rest := body[head+n:]
	for i := range m.Records {
		if rest = decodeFlow(rest, &m.Records[i]); rest == nil {
			return nil, errForm
		}
	}
	if len(rest) > 0 {
		return nil, errForm
	}
	return m, nil
}

// decodeFlow decodes a record and returns what comes after it, nil if it is none.
func decodeFlow(b []byte, r *state.FlowRecord) (rest []byte) {
	if len(b) < 9 {
		return nil
	}
	r.Key = binary.BigEndian.Uint64(b)
	bits := b[8]
	r.RoutersOwn, r.Offloaded, r.Left = bits&routersOwnBit != 0, bits&offloadedBit != 0, bits&leftBit != 0
	r.Missed = bits >> missedShift
	b = b[9:]
	if r.Missed > mostMissed {
		return nil
	}
	if r.RoutersOwn {
		return b
	}
	for d := range r.Traffic {
		for _, field := range []*uint64{&r.Traffic[d].Bytes, &r.Traffic[d].Packets} {
			var n int
			if *field, n = binary.Uvarint(b); n <= 0 {
				return nil
			}
			b = b[n:]
		}
	}
	return b
}
