package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// Nix gives the value of an expression; paths in it are relative to the test's
// directory. It reads files and builds nothing, so there need be no store.
func Nix(t *testing.T, expression string, into any) error {
	t.Helper()
	Need(t, "nix-instantiate")
	// It prints what it has of a value before it comes upon an error: its exit
	// status tells.
	cmd := exec.CommandContext(t.Context(), "nix-instantiate", "--store", "dummy://", "--option", "build-users-group", "",
		"--eval", "--strict", "--json", "--expr", expression)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return errors.New(strings.TrimSpace(stderr.String()))
	}
	return json.Unmarshal(stdout.Bytes(), into)
}
