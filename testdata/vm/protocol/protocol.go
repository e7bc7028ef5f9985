// Package protocol is what a test and the agent in its virtual machine say to each
// other, as JSON: a Request for each command, a Response at its end.
package protocol

import "time"

// A Request asks for a command to be run.
type Request struct {
	ID        int      // comes back in the Response
	Args      []string // of which the first is the program
	Env       []string // added to the agent's own: NAME=value
	Stdin     []byte
	TimeLimit time.Duration // after which the command is killed, and what it started with it
}

// A Response tells how a command ended.
type Response struct {
	ID     int
	Output []byte // of stdout and stderr
	Error  string // empty if the exit status is 0
}
