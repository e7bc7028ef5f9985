package clock

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"network-metrics-exporter/testdata/lab"
)

const (
	dashed = "0b3ac66e-3f4d-4c2a-9a3e-5f0c7d1e2b48"
	plain  = "0b3ac66e3f4d4c2a9a3e5f0c7d1e2b48"
)

func TestParseBootID(t *testing.T) {
	tests := []struct {
		name, text, want string
	}{
		{"kernel", dashed + "\n", plain},
		{"systemd", plain, plain},
		{"upper case", strings.ToUpper(dashed), plain},
		{"spaces", " \t" + dashed + "\r\n", plain},
		{"empty", "", ""},
		{"line end", "\n", ""},
		{"dashes", "----", ""},
		{"short", plain[2:], ""},
		{"odd", plain[1:], ""},
		{"long", plain + "00", ""},
		{"two", dashed + "\n" + dashed, ""},
		{"not hexadecimal", "g" + plain[1:], ""},
		{"wide digits", "\uff10" + plain[1:], ""},
		{"NUL", plain[1:] + "\x00", ""},
		{"binary", "\xff\xfe", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wantErr := ""
			if tt.want == "" {
				wantErr = fmt.Sprintf("want a UUID, not %q", tt.text)
			}
			got, err := parseBootID(tt.text)
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if gotErr := message(err); gotErr != wantErr {
				t.Errorf("got error %q, want %q", gotErr, wantErr)
			}
		})
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// What is accepted is normal: equal for all spellings of the same boot.
func FuzzParseBootID(f *testing.F) {
	for _, seed := range []string{"", dashed + "\n", plain, strings.ToUpper(plain), plain[1:], "-" + plain, "\u0130" + plain} {
		f.Add(seed)
	}
	normal := regexp.MustCompile(`^[0-9a-f]{32}$`)
	f.Fuzz(func(t *testing.T, text string) {
		id, err := parseBootID(text)
		if err != nil {
			if id != "" {
				t.Errorf("got %q beside the error %v", id, err)
			}
			return
		}
		if !normal.MatchString(id) {
			t.Fatalf("accepted as %q", id)
		}
		uuid := strings.Join([]string{id[:8], id[8:12], id[12:16], id[16:20], id[20:]}, "-")
		for _, spelling := range []string{id, uuid, strings.ToUpper(uuid) + "\n"} {
			if again, err := parseBootID(spelling); again != id || err != nil {
				t.Errorf("%q is read as %q, %v, want %q", spelling, again, err, id)
			}
		}
	})
}

// TestRead has each reading lie between two others of the same clock, so that it
// holds however slow the machine is.
func TestRead(t *testing.T) {
	procBefore, wallBefore := procUptime(t), time.Now()
	first, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	procAfter, wallAfter := procUptime(t), time.Now()

	if low, high := procBefore, procAfter+procResolution; first.Uptime < low || first.Uptime > high {
		t.Errorf("uptime %v, want %v to %v, as /proc/uptime has it", first.Uptime, low, high)
	}
	if first.Wall.Before(wallBefore) || first.Wall.After(wallAfter) {
		t.Errorf("wall clock %v, want %v to %v", first.Wall, wallBefore, wallAfter)
	}
	if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(first.Boot) {
		t.Errorf("boot %q, want 32 hexadecimal digits", first.Boot)
	}

	for range 10 {
		time.Sleep(time.Millisecond)
		second, err := Read()
		if err != nil {
			t.Fatal(err)
		}
		if second.Boot != first.Boot {
			t.Errorf("boot %q became %q", first.Boot, second.Boot)
		}
		if second.Uptime <= first.Uptime {
			t.Errorf("uptime %v became %v a millisecond later", first.Uptime, second.Uptime)
		}
		first = second
	}
}

// Where the environment names the boot, it is believed, as it is where there is
// no /proc/sys to ask; nonsense is refused, and not passed over for the file.
func TestBootIDOfTheEnvironment(t *testing.T) {
	t.Setenv(bootIDEnv, "")
	kernel, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{plain, dashed} {
		t.Setenv(bootIDEnv, text)
		if now, err := Read(); now.Boot != plain || err != nil {
			t.Errorf("%s=%s: got boot %q, %v, want %q", bootIDEnv, text, now.Boot, err, plain)
		}
	}
	t.Setenv(bootIDEnv, "%b")
	const want = `parse BOOT_ID: want a UUID, not "%b"`
	if now, err := Read(); message(err) != want {
		t.Errorf("got boot %q, error %q, want %q", now.Boot, message(err), want)
	}
	if kernel.Boot == plain {
		t.Errorf("an empty %s is taken for boot %s", bootIDEnv, plain)
	}
}

// procResolution is how much /proc/uptime leaves out: it cuts off after
// hundredths of a second.
const procResolution = 10 * time.Millisecond

func procUptime(t *testing.T) time.Duration {
	t.Helper()
	text, err := os.ReadFile("/proc/uptime")
	if err != nil {
		t.Fatal(err)
	}
	uptime, _, _ := strings.Cut(string(text), " ")
	d, err := time.ParseDuration(uptime + "s")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// A time namespace has an uptime of its own, and it is the one that is read;
// the boot is the same.
func TestTimeNamespace(t *testing.T) {
	const (
		insideEnv = "CLOCK_INSIDE"
		ahead     = 1_000_000 * time.Second
	)
	if os.Getenv(insideEnv) != "" {
		inside, err := Read()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("boot %s uptime %d\n", inside.Boot, inside.Uptime)
		return
	}
	lab.Namespace(t, func(t *testing.T) {
		before, err := Read()
		if err != nil {
			t.Fatal(err)
		}
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv(insideEnv, "1")
		output := lab.Command(t, "unshare", "--time", "--boottime", strconv.Itoa(int(ahead.Seconds())), "--fork",
			self, "-test.run=^TestTimeNamespace$", "-test.count=1")
		after, err := Read()
		if err != nil {
			t.Fatal(err)
		}

		var boot string
		var uptime time.Duration
		if _, err := fmt.Sscanf(output, "boot %s uptime %d\n", &boot, &uptime); err != nil {
			t.Fatalf("%v in the output of a time namespace:\n%s", err, output)
		}
		if boot != before.Boot {
			t.Errorf("boot %q inside, want %q as outside", boot, before.Boot)
		}
		if low, high := before.Uptime+ahead, after.Uptime+ahead; uptime < low || uptime > high {
			t.Errorf("uptime %v inside, want %v to %v", uptime, low, high)
		}
	})
}
