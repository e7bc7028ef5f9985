// Command agent runs commands inside a virtual machine for the test that booted it:
// it reads requests from the virtio port that is its argument, and writes a response
// there as each command ends.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"network-metrics-exporter/testdata/vm/protocol"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("agent: ")
	port, err := os.OpenFile(os.Args[1], os.O_RDWR, 0)
	if err != nil {
		log.Fatal(err)
	}
	decoder, encoder := json.NewDecoder(port), json.NewEncoder(port)
	var mu sync.Mutex // of encoder
	for {
		var request protocol.Request
		if err := decoder.Decode(&request); err != nil {
			log.Fatalf("read request: %v", err)
		}
		go func() {
			response := run(request)
			mu.Lock()
			defer mu.Unlock()
			if err := encoder.Encode(response); err != nil {
				log.Fatalf("write response: %v", err)
			}
		}()
	}
}

// run runs a command and gives what came of it; none outlasts its time limit.
func run(request protocol.Request) protocol.Response {
	ctx, cancel := context.WithTimeout(context.Background(), request.TimeLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, request.Args[0], request.Args[1:]...)
	cmd.Env = append(os.Environ(), request.Env...)
	cmd.Stdin = bytes.NewReader(request.Stdin)
	// A session of its own, which is killed as a whole.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	output, err := cmd.CombinedOutput()
	response := protocol.Response{ID: request.ID, Output: output}
	if ctx.Err() != nil {
		response.Error = fmt.Sprintf("not done after %v", request.TimeLimit)
	} else if err != nil {
		response.Error = err.Error()
	}
	return response
}
