// Package state works out what is true of a network's clients and devices: Compare
// takes what the last run knew (a Ledger) and what this run read (a Sample), and
// returns what to publish (a Report) and what the next run has to know (the next
// Ledger). It is arithmetic alone: it asks no clock, no kernel and no file.
//
// A client is an address; a device is who has it. The way of a byte:
//
//	observe.go   growth finds it as what a counter shows beyond its last reading
//	             (Ledger.LastReadings), and observeAddress gives it to a client
//	identity.go  finds out which device has the address
//	series.go    decides who has series of their own
//	finish.go    puts it on the totals of the client and of the device, or on those
//	             of all who have no series, and reports them
//
// What keeps totals from falling: reserve.go for ledgers that reach the disk only
// now and then, Ledger.Twice for a ledger that is damaged, evict.go and
// Ledger.ForgetReadings for counters that are deleted, steadyTime in presence.go
// for wall clocks that step. TestNoCounterFalls plays all of it.
package state
