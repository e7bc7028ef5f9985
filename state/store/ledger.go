package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"

	"network-metrics-exporter/state"
)

// A ledger's file is a line that names format and version, a message in the wire
// format of Protocol Buffers (protobuf.dev/programming-guides/encoding), and the
// CRC-32C of all that, big-endian. The messages are as the constants below say.
//
// The number of a field never changes. In a message the fields are in the order of
// their numbers, as what some of them say is told by others before. A field that is
// added gets a number that is free, in what has a total or is usage from 32 on. An
// older program passes over it, so that it takes no new version. Versions 1 and 2 had
// other formats, see legacy.go.
//
// The file is small, and quick to write and read, as most of what it holds is told
// by what it holds already: a time by how long it was before Ledger.Steady, a
// baseline by what came since, a device, a name or a counter's object by its index
// in a list.
const (
	magic   = "network-metrics-exporter ledger "
	version = 3
)

// The fields of a ledger. In the file they are in this order, so that the head is
// read without the rest.
const (
	ledgerRun            = 1                // varint
	ledgerBoot           = 2                // text
	ledgerUptime         = 3                // varint, nanoseconds, as all times
	ledgerCheckpoint     = 4                // varint
	ledgerHead           = ledgerCheckpoint // the last field of the head
	ledgerWall           = 5                // zigzag, since 1970; left out: not known, as all times of the wall clock
	ledgerSteady         = 6                // zigzag
	ledgerTrusted        = 7                // bool
	ledgerFirstUptime    = 8                // varint
	ledgerResets         = 9                // varint
	ledgerRepairs        = 10               // varint
	ledgerLosses         = 11               // varint
	ledgerFlowFile       = 12               // varint
	ledgerCurrentPeriod  = 13               // zigzag, since Wall
	ledgerPreviousPeriod = 14               // zigzag, since Wall
	ledgerSetting        = 15               // text, repeated
	ledgerNetwork        = 16               // address, then a byte with the length of the prefix; repeated
	ledgerFault          = 17               // message, repeated: ordered by source
	ledgerBaselines      = 18               // packed: how long before Uptime
	ledgerSlots          = 19               // packed: how long before Uptime
	ledgerInterface      = 20               // text, repeated: names that clients refer to
	ledgerReadings       = 21               // message
	ledgerOther          = 22               // message: a total
	ledgerOtherDevice    = 23               // message: usage
	ledgerDevice         = 24               // message, repeated: ordered by ID
	ledgerClient         = 25               // message, repeated: ordered by address
	ledgerCounters       = 26               // message, repeated: ordered by address
	ledgerFlows          = 27               // message
)

// The fields of a fault.
const (
	faultSource = 1 // text
	faultText   = 2 // text
)

// The fields of what has a total: a client, a device, all others. Arrays by
// direction are packed numbers: bytes and packets received, bytes and packets sent.
const (
	totalTraffic   = 1 // packed
	totalBaselines = 2 // packed: bytes received, bytes sent since each of the ledger's
	totalSlots     = 3 // packed: for each slot its index among the ledger's, traffic, peak received, peak sent
	totalReserved  = 4 // packed: above the traffic
)

// The further fields of usage.
const (
	usageLocal         = 5 // packed: bytes received, bytes sent
	usageLocalReserved = 6 // packed: above those
	usagePeriodBase    = 7 // packed: bytes received, bytes sent of all, then of the local part
	usagePrevious      = 8 // packed likewise
)

// The further fields of a device, whose other fields are those of usage.
const (
	deviceMAC        = 9  // 6 bytes
	deviceIDAddr     = 10 // 4 or 16 bytes, as all addresses
	deviceName       = 11 // text
	deviceSource     = 12 // text
	deviceAddr       = 13 // address
	deviceSince      = 14 // zigzag, before Steady, as all times of the steady clock
	deviceHasSeries  = 15 // bool
	deviceLastSeen   = 16 // zigzag
	deviceSeen       = 17 // zigzag, since LastSeen would have been by Wall
	deviceFirstSeen  = 18 // zigzag, since Since would have been by Wall
	deviceOtherBytes = 19 // varint
)

// The further fields of a client, whose other fields are those of a total.
const (
	clientAddr        = 5  // address
	clientDevice      = 6  // varint: its index among the devices, from 1
	clientEvidence    = 7  // varint
	clientInterface   = 8  // varint: its index among the interfaces, from 1
	clientSince       = 9  // zigzag
	clientRx          = 10 // zigzag: LastActive
	clientTx          = 11 // zigzag: LastActive
	clientLastSeen    = 12 // zigzag
	clientSeen        = 13 // zigzag, as deviceSeen
	clientConfirmed   = 14 // bool
	clientHasSeries   = 15 // bool
	clientAsked       = 16 // zigzag
	clientMAC         = 17 // 6 bytes; left out: the device's
	clientName        = 18 // text; left out: the device's
	clientSource      = 19 // text; left out: the device's
	clientOtherBytes  = 20 // varint
	clientPredecessor = 21 // packed
)

// The fields of what the counters last showed.
const (
	readingsLayout     = 1 // text
	readingsObjects    = 2 // packed: table and object of each
	readingsFull       = 3 // bool
	readingsFlowtable  = 4 // varint
	readingsLocalKnown = 5 // bool
)

// The fields of an address's counters. In the packed fields each counter has the
// index of its object among the objects, from 1, times two, plus its direction; then
// bytes and packets. The index 0 is followed by the table and the object, which are
// not among them.
const (
	countersClient = 1 // varint: its index among the clients, from 1
	countersAddr   = 2 // address, if it is no client's
	countersAll    = 3 // packed
	countersLocal  = 4 // packed
)

// The fields of the last counts of flows, and of those of one address.
const (
	flowsUptime = 1 // varint
	flowsCost   = 2 // varint
	flowsActive = 3 // message, repeated: ordered by address

	activeAddr   = 1 // address
	activeCounts = 2 // packed
)

var (
	errDamaged = errors.New("file is damaged")
	errNewer   = errors.New("file is of a newer version of this program")
	errForm    = fmt.Errorf("%w: its content is malformed", errDamaged)
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
