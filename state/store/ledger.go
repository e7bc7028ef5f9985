package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"network-metrics-exporter/state"
)

// A ledger's file is a line that names format and version, a message in the wire
// format of Protocol Buffers (protobuf.dev/programming-guides/encoding), and the
// CRC-32C of all that, big-endian. The messages are as the constants below say.
//
// A field that is added gets the next number of its message. An older program
// passes over it, so that it takes no new version. Versions 1 and 2 had other
// formats, see legacy.go.
//
// The file is small, and quick to write and read, as most of what it holds is told
// by what it holds already: a time by how long it was before Ledger.Steady, a
// baseline by what came since, a device, a name or a counter's object by its place
// in a list.
const (
	magic   = "network-metrics-exporter ledger "
	version = 3
)

// The fields of a ledger. In the file they are in this order, so that the head is
// read without the rest.
const (
	ledgerRun        protowire.Number   = iota + 1 // varint
	ledgerBoot                                     // text
	ledgerUptime                                   // varint, nanoseconds, as all times
	ledgerCheckpoint                               // varint
	ledgerHead       = ledgerCheckpoint            // the last field of the head
)
const (
	ledgerWall           = ledgerHead + 1 + iota // zigzag, since 1970; left out: not known, as all times of the wall clock
	ledgerSteady                                 // zigzag
	ledgerTrusted                                // bool
	ledgerFirstUptime                            // varint
	ledgerResets                                 // varint
	ledgerRepairs                                // varint
	ledgerLosses                                 // varint
	ledgerFlowFile                               // varint
	ledgerCurrentPeriod                          // zigzag, since Wall
	ledgerPreviousPeriod                         // zigzag, since Wall
	ledgerSetting                                // text, repeated
	ledgerNetwork                                // address, then a byte with the length of the prefix; repeated
	ledgerFault                                  // message, repeated: ordered by source
	ledgerBaselines                              // list: how long before Uptime
	ledgerSlots                                  // list: how long before Uptime
	ledgerInterface                              // text, repeated: names that clients refer to
	ledgerReadings                               // message
	ledgerOther                                  // message: a total
	ledgerOtherDevice                            // message: usage
	ledgerDevice                                 // message, repeated: ordered by ID
	ledgerClient                                 // message, repeated: ordered by address
	ledgerCounters                               // message, repeated: ordered by address
	ledgerFlows                                  // message
)

// The fields of a fault.
const (
	faultSource protowire.Number = iota + 1 // text
	faultText                               // text
)

// The fields of what has a total: a client, a device, all others. Arrays by
// direction are lists of bytes and packets received, bytes and packets sent.
const (
	totalTraffic   protowire.Number = iota + 1 // list
	totalBaselines                             // list: bytes received, bytes sent since each of the ledger's
	totalSlots                                 // list: for each slot its place among the ledger's, traffic, peak received, peak sent
	totalReserved                              // list: above the traffic
	totalEnd
)

// The further fields of usage.
const (
	usageLocal         = totalEnd + iota // list: bytes received, bytes sent
	usageLocalReserved                   // list: above those
	usagePeriodBase                      // list: bytes received, bytes sent of all, then of the local part
	usagePrevious                        // list likewise
	usageEnd
)

// The further fields of a device, whose other fields are those of usage.
const (
	deviceMAC        = usageEnd + iota // 6 bytes
	deviceIDAddr                       // 4 or 16 bytes, as all addresses
	deviceName                         // text
	deviceSource                       // text
	deviceAddr                         // address
	deviceSince                        // zigzag, before Steady, as all times of the steady clock
	deviceHasSeries                    // bool
	deviceLastSeen                     // zigzag
	deviceSeen                         // zigzag, since LastSeen would have been by Wall
	deviceFirstSeen                    // zigzag, since Since would have been by Wall
	deviceOtherBytes                   // varint
)

// The further fields of a client, whose other fields are those of a total.
const (
	clientAddr        = totalEnd + iota // address
	clientDevice                        // varint: its place among the devices, from 1
	clientEvidence                      // varint
	clientInterface                     // varint: its place among the interfaces, from 1
	clientSince                         // zigzag
	clientRx                            // zigzag: LastActive
	clientTx                            // zigzag: LastActive
	clientLastSeen                      // zigzag
	clientSeen                          // zigzag, as deviceSeen
	clientConfirmed                     // bool
	clientHasSeries                     // bool
	clientAsked                         // zigzag
	clientMAC                           // up to 6 bytes; left out: the device's
	clientName                          // text; left out: the device's
	clientSource                        // text; left out: the device's
	clientOtherBytes                    // varint
	clientPredecessor                   // list
)

// The fields of what the counters last showed.
const (
	readingsLayout     protowire.Number = iota + 1 // text
	readingsGeneration                             // varint
	readingsObjects                                // list: table and object of each
	readingsFull                                   // bool
	readingsFlowtable                              // varint
	readingsLocalKnown                             // bool
)

// The fields of an address's counters. In the lists each has its object's place
// among the objects, from 1, twice, plus its direction; bytes; packets. The place 0
// is followed by a table and an object that are not among them.
const (
	countersClient protowire.Number = iota + 1 // varint: its place among the clients, from 1
	countersAddr                               // address, if it is no client's
	countersAll                                // list
	countersLocal                              // list
)

// The fields of the last counts of flows, and of those of one address.
const (
	flowsUptime protowire.Number = iota + 1 // varint
	flowsCost                               // varint
	flowsActive                             // message, repeated: ordered by address

	activeAddr   protowire.Number = 1 // address
	activeCounts protowire.Number = 2 // list
)

var (
	errDamaged = errors.New("file is damaged")
	errNewer   = errors.New("file is of a newer version of this program")
	errForm    = fmt.Errorf("%w: it does not hold what its version should", errDamaged)
)

// checksum is CRC-32C: processors compute it, so that it costs nothing here.
func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// unwrap takes the head and the checksum off a ledger's file. Its errors are
// errDamaged and errNewer, with what was found.
func unwrap(file []byte) (format int, body []byte, err error) {
	head, _, found := bytes.Cut(file, []byte("\n"))
	number, ours := bytes.CutPrefix(head, []byte(magic))
	if !found || !ours || len(file) < len(head)+1+crc32.Size {
		return 0, nil, fmt.Errorf("%w: it does not begin with %q", errDamaged, magic)
	}
	body = file[:len(file)-crc32.Size]
	if checksum(body) != binary.BigEndian.Uint32(file[len(body):]) {
		return 0, nil, fmt.Errorf("%w: its checksum is wrong", errDamaged)
	}
	format, err = strconv.Atoi(string(number))
	if err != nil || format < 1 || strconv.Itoa(format) != string(number) {
		return 0, nil, fmt.Errorf("%w: %q is no version", errDamaged, number)
	} else if format > version {
		return 0, nil, fmt.Errorf("%w: version %d, this one knows %d", errNewer, format, version)
	}
	return format, body[len(head)+1:], nil
}

// ledgerFile is a ledger's file of which only the head was read: what tells when it
// was made, and whether it is a checkpoint.
type ledgerFile struct {
	path   string
	format int
	body   []byte
	head   *state.Ledger // of an older version all of it
}

// parse reads the head of a ledger's file of any version. Its errors are those of
// unwrap.
func parse(path string, file []byte) (*ledgerFile, error) {
	format, body, err := unwrap(file)
	if err != nil {
		return nil, err
	}
	f := &ledgerFile{path: path, format: format, body: body}
	ok := false
	if format < version {
		f.head, ok = decodeLegacy(body, format)
	} else {
		f.head, ok = decodeHead(body)
	}
	if !ok {
		return nil, errForm
	}
	return f, nil
}

// decode reads the ledger. Its error is errDamaged.
func (f *ledgerFile) decode() (*state.Ledger, error) {
	if f.format < version {
		return f.head, nil
	}
	l, ok := decodeLedger(f.body)
	if !ok {
		return nil, errForm
	}
	return l, nil
}
