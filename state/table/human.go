package table

import (
	"fmt"
	"strconv"
	"time"
)

func rate(bps *float64) string {
	if bps == nil {
		return unknown
	}
	return scaled(*bps, "bit/s")
}

func size(bytes *uint64) string {
	if bytes == nil {
		return unknown
	}
	return scaled(float64(*bytes), "B")
}

func count(n *uint64) string {
	if n == nil {
		return unknown
	}
	return strconv.FormatUint(*n, 10)
}

// scaled returns three digits and a unit with its SI prefix.
func scaled(v float64, unit string) string {
	prefixes := []string{"", "k", "M", "G", "T", "P", "E"}
	// What rounds to 1000 is 1 of the next prefix.
	for v >= 999.5 && len(prefixes) > 1 {
		v, prefixes = v/1000, prefixes[1:]
	}
	digits := 0
	switch {
	case prefixes[0] == "" || v >= 99.95:
	case v >= 9.995:
		digits = 1
	default:
		digits = 2
	}
	return fmt.Sprintf("%.*f %s%s", digits, v, prefixes[0], unit)
}

// ago tells how long ago something was.
func ago(then, now time.Time) string {
	age := now.Sub(then)
	switch {
	case then.IsZero():
		return unknown
	case age < time.Second: // or later than now, if somebody has set the clock
		return "now"
	case age < 2*time.Minute:
		return fmt.Sprintf("%.fs ago", age.Truncate(time.Second).Seconds())
	case age < 2*time.Hour:
		return fmt.Sprintf("%dm ago", int(age.Minutes()))
	case age < 48*time.Hour:
		return fmt.Sprintf("%dh ago", int(age.Hours()))
	default:
		return fmt.Sprintf("%dd ago", int(age.Hours()/24))
	}
}
