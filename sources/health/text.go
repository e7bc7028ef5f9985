package health

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"network-metrics-exporter/state"
)

// Report prints findings, and returns an error if any of them is a Fail.
func Report(w io.Writer, findings []Finding, asJSON, color bool) error {
	write := func() error { return Write(w, findings, color) }
	if asJSON {
		write = func() error { return WriteJSON(w, findings) }
	}
	if err := write(); err != nil {
		return err
	}
	if slices.ContainsFunc(findings, func(f Finding) bool { return f.Status == Fail }) {
		return errors.New("an examination failed")
	}
	return nil
}

// Write prints findings for people, a line each.
func Write(w io.Writer, findings []Finding, color bool) error {
	colors := map[Status]string{OK: "\x1b[32m", Warn: "\x1b[33m", Fail: "\x1b[31m"}
	var text bytes.Buffer
	for _, f := range findings {
		status := fmt.Sprintf("%-4s", f.Status)
		if color {
			status = colors[f.Status] + status + "\x1b[m"
		}
		line := f.Name + ": " + f.Found
		if f.Cure != "" {
			line += " (" + f.Cure + ")"
		}
		fmt.Fprintf(&text, "%s  %s\n", status, state.Sanitize(line))
	}
	_, err := w.Write(text.Bytes())
	return err
}

// WriteJSON prints findings for programs.
func WriteJSON(w io.Writer, findings []Finding) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(findings)
}
