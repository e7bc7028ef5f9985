// Package state reckons what is true of the clients: Compare takes what the
// last run knew (a Ledger) and what this run saw (a Sample), and gives what to
// publish (a Report) and what the next run has to know (the next Ledger). It is
// arithmetic alone: it asks no clock, no kernel and no file.
package state
