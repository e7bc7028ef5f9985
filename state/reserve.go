package state

import "time"

// With Config.CheckpointInterval ledgers are kept in memory, and one reaches the
// disk now and then: a checkpoint. A power cut leaves the last checkpoint, which
// is older than what was published since. So that no counter falls, a checkpoint
// reserves room above each total: up to there may be published before the next
// checkpoint, and whoever has to go on from it begins there.
//
// The room is what was moved within the last minute, as a steady stream meets the
// next checkpoint before it has used that up; at least leastReserve; and at most
// sixteen times the total, so that who never moved anything stays at 0. A total
// that goes beyond its room forces a checkpoint; so does one that is left with
// more room than it would be given now, no more often than every leastCheckpoint.
const (
	leastReserveBytes   = 1 << 20
	leastReservePackets = 1 << 14
	leastCheckpoint     = 5 * time.Second
)

// room returns how far above a total may be published.
func room(total, moved, least uint64) uint64 {
	most := total << 4
	if most>>4 != total {
		most = total
	}
	return min(most, max(moved, least))
}

// wantedReserve returns what Reserved would be now.
func (s *CounterState) wantedReserve() (reserved [2]Traffic) {
	for d, moved := range s.inWindow() {
		reserved[d] = s.Total[d].plus(Traffic{
			Bytes:   room(s.Total[d].Bytes, moved.Bytes, leastReserveBytes),
			Packets: room(s.Total[d].Packets, moved.Packets, leastReservePackets),
		})
	}
	return reserved
}

// checkReserve reports whether a total went beyond its room, and whether it has
// more than it would be given now.
func (s *CounterState) checkReserve() (beyond, toomuch bool) {
	for d, wanted := range s.wantedReserve() {
		total, reserved := s.Total[d], s.Reserved[d]
		beyond = beyond || total.Bytes > reserved.Bytes || total.Packets > reserved.Packets
		toomuch = toomuch || reserved.Bytes > wanted.Bytes
	}
	return beyond, toomuch
}

// checkReserve does the same of a device's totals.
func (u *Usage) checkReserve() (beyond, toomuch bool) {
	beyond, toomuch = u.CounterState.checkReserve()
	for d, local := range u.Local {
		beyond = beyond || local > u.LocalReserved[d]
	}
	return beyond, toomuch
}

// reserve makes room above the totals.
func (s *CounterState) reserve() { s.Reserved = s.wantedReserve() }

// reserve makes room above the totals of a device.
func (u *Usage) reserve() {
	u.CounterState.reserve()
	for d, local := range u.Local {
		u.LocalReserved[d] = plus(local, room(local, u.Reserved[d].Bytes-u.Total[d].Bytes, 0))
	}
}

// recover goes up to what may have been published.
func (s *CounterState) recover() {
	for d, reserved := range s.Reserved {
		s.Total[d].Bytes = max(s.Total[d].Bytes, reserved.Bytes)
		s.Total[d].Packets = max(s.Total[d].Packets, reserved.Packets)
	}
}

// recover goes up to what may have been published of a device.
func (u *Usage) recover() {
	u.CounterState.recover()
	for d, reserved := range u.LocalReserved {
		u.Local[d] = max(u.Local[d], reserved)
	}
}

// reserver is a total with room above it.
type reserver interface {
	checkReserve() (beyond, toomuch bool)
	reserve()
	recover()
	dropReserve()
}

func (s *CounterState) dropReserve() { s.Reserved = [2]Traffic{} }

func (u *Usage) dropReserve() {
	u.CounterState.dropReserve()
	u.LocalReserved = [2]uint64{}
}

// totals calls each with every total of the ledger.
func (l *Ledger) totals(each func(reserver)) {
	for i := range l.Clients {
		each(&l.Clients[i].CounterState)
	}
	for i := range l.Devices {
		each(&l.Devices[i].Usage)
	}
	each(&l.Other)
	each(&l.OtherDevice)
}

// IsCheckpoint reports whether the ledger is one that later ones, which were kept
// in memory, may have gone beyond.
func (l *Ledger) IsCheckpoint() bool { return l.Checkpoint != 0 && l.Checkpoint == l.Uptime }

// updateCheckpoint makes a checkpoint of the ledger if it is time for one or if
// the last one does not do any more. changed tells that it does not for a reason
// that no total shows.
func (l *Ledger) updateCheckpoint(interval time.Duration, changed bool) {
	if interval == 0 {
		l.Checkpoint = 0
		l.totals(reserver.dropReserve)
		return
	}
	var anyBeyond, anyTooMuch bool
	l.totals(func(r reserver) {
		beyond, toomuch := r.checkReserve()
		anyBeyond, anyTooMuch = anyBeyond || beyond, anyTooMuch || toomuch
	})
	age := l.Uptime - l.Checkpoint
	if changed || l.Checkpoint == 0 || age < 0 || age >= interval || anyBeyond || anyTooMuch && age >= leastCheckpoint {
		l.Checkpoint = l.Uptime
		l.totals(reserver.reserve)
	}
}
