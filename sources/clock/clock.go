// Package clock reads the kernel's clocks.
package clock

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"network-metrics-exporter/state"
)

// The boot ID is a random UUID that the kernel makes at each boot (random(4)).
// A service that has no /proc/sys is told it by its service manager.
const (
	bootIDEnv  = "BOOT_ID"
	bootIDFile = "/proc/sys/kernel/random/boot_id"
)

// Read gives the present moment. It fails if the boot cannot be told from
// another one: without that, no counter can be compared with an earlier one.
func Read() (state.Instant, error) {
	boot, err := readBootID()
	if err != nil {
		return state.Instant{}, err
	}
	// CLOCK_BOOTTIME (Linux 2.6.39) neither stops while the machine sleeps nor
	// steps when somebody sets the time.
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return state.Instant{}, fmt.Errorf("clock_gettime CLOCK_BOOTTIME: %w", err)
	}
	return state.Instant{Boot: boot, Uptime: time.Duration(ts.Nano()), Wall: time.Now()}, nil
}

// readBootID takes the boot ID from the environment if it is there, and else
// from the kernel.
func readBootID() (string, error) {
	source, text := bootIDEnv, os.Getenv(bootIDEnv)
	if text == "" {
		raw, err := os.ReadFile(bootIDFile)
		if err != nil {
			return "", err
		}
		source, text = bootIDFile, string(raw)
	}
	boot, err := parseBootID(text)
	if err != nil {
		return "", fmt.Errorf("parse %s: %w", source, err)
	}
	return boot, nil
}

// parseBootID gives the 32 hexadecimal digits of a boot ID written with dashes,
// as the kernel does, or without, as systemd does.
func parseBootID(s string) (string, error) {
	id := strings.ToLower(strings.ReplaceAll(strings.TrimSpace(s), "-", ""))
	if raw, err := hex.DecodeString(id); err != nil || len(raw) != 16 {
		return "", fmt.Errorf("want a UUID, not %q", s)
	}
	return id, nil
}
