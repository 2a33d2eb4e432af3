package pipeline

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// The logs in testdata/nixlog were printed by the versions of Nix in their
// names: a build whose dependency bad-dep fails while slow is still being
// built, a build that goes well, and an evaluation that throws.
func readLog(t *testing.T, name string) *nixLog {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "nixlog", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var log nixLog
	for s := bufio.NewScanner(f); s.Scan(); {
		log.line(s.Text())
	}
	return &log
}

func TestNixLogBuildFailure(t *testing.T) {
	for version, message := range map[string]string{
		"2.26.3": "builder for '/nix/store/k3wxk8aclvjzbcpygph8y155v0aa3mlp-bad-dep.drv' failed with exit code 3",
		"2.34.8": "Cannot build '/nix/store/k3wxk8aclvjzbcpygph8y155v0aa3mlp-bad-dep.drv'. Reason: builder failed with exit code 3. " +
			"Output paths: /nix/store/ync9dlz1s90d1wnvjmjdrzq930wrm6yq-bad-dep",
	} {
		t.Run(version, func(t *testing.T) {
			b := readLog(t, "build-failure-"+version+".log").failure()
			if b == nil {
				t.Fatal("no failed build was found")
			}
			if want := "/nix/store/k3wxk8aclvjzbcpygph8y155v0aa3mlp-bad-dep.drv"; b.drv != want {
				t.Errorf("failed derivation %s, want %s", b.drv, want)
			}
			if diff := cmp.Diff([]string{"one", "two", "1", "2", "3", "noeol"}, b.log.all()); diff != "" {
				t.Errorf("its log (-want +got):\n%s", diff)
			}
			if b.message != message {
				t.Errorf("message %q, want %q", b.message, message)
			}
		})
	}
}

func TestNixLogBuild(t *testing.T) {
	for _, version := range []string{"2.26.3", "2.34.8"} {
		t.Run(version, func(t *testing.T) {
			log := readLog(t, "build-"+version+".log")
			if log.failure() != nil {
				t.Errorf("failure %v in a build that went well", log.failure())
			}
			// Nix 2.34 expects one more than it has derivations to build.
			if log.built != 2 || log.done != 2 || log.expected < 2 || log.fetched != 0 {
				t.Errorf("built %d, done %d of %d, fetched %d; want 2, 2 of 2 or more, 0", log.built, log.done, log.expected, log.fetched)
			}
			if got := log.summary(); got != "2 built" {
				t.Errorf("summary %q", got)
			}
		})
	}
}

func TestNixLogEvaluationFailure(t *testing.T) {
	for _, version := range []string{"2.26.3", "2.34.8"} {
		t.Run(version, func(t *testing.T) {
			log := readLog(t, "evaluation-failure-"+version+".log")
			if got, want := log.message(), "the option `services.foo' does not exist second line"; got != want {
				t.Errorf("message %q, want %q", got, want)
			}
			lines := log.lines()
			if len(lines) == 0 || lines[0] != "error:" || lines[len(lines)-1] != "       second line" {
				t.Errorf("lines are not the whole error:\n%s", strings.Join(lines, "\n"))
			}
			for _, l := range lines {
				if strings.ContainsRune(l, 0x1b) {
					t.Errorf("escape sequence in %q", l)
				}
			}
		})
	}
}

func TestNixLogOddInput(t *testing.T) {
	tests := []struct {
		name, input string
		message     string
		lines       []string
	}{
		{name: "nothing"},
		{name: "plain lines only", input: "warning: a\nerror: b\n", message: "error: b", lines: []string{"warning: a", "error: b"}},
		{name: "half an event", input: `@nix {"action":"msg","level":0,"msg":"x`, lines: nil},
		{name: "not an object", input: "@nix 17\n@nix [1]\n@nix null\n@nix "},
		{name: "fields of other types", input: `@nix {"action":"start","id":1,"type":105,"fields":[{},3]}` + "\n" +
			`@nix {"action":"result","id":1,"type":101,"fields":[[]]}` + "\n" +
			`@nix {"action":"result","id":0,"type":105,"fields":["a","b"]}` + "\n" +
			`@nix {"action":"stop","id":1}`},
		{name: "an id that is no number", input: `@nix {"action":"start","id":-1,"type":105,"fields":["/nix/store/x.drv"]}`},
		{
			name:  "a log line of an activity that never started",
			input: `@nix {"action":"result","id":7,"type":101,"fields":["orphan"]}`, message: "orphan", lines: []string{"orphan"},
		},
		{name: "a stop without a start", input: `@nix {"action":"stop","id":7}`},
		{
			name: "a trace is no error",
			input: `@nix {"action":"msg","level":0,"msg":"trace: hello"}` + "\n" +
				`@nix {"action":"msg","level":0,"msg":"error: \u001b[31mreal\u001b[0m","raw_msg":"\u001b[31mreal\u001b[0m"}`,
			message: "real", lines: []string{"error: real"},
		},
		{
			name:    "a dependent that was never started is not what failed",
			input:   `@nix {"action":"msg","level":0,"msg":"m","raw_msg":"1 dependencies of '/nix/store/x-top.drv' failed"}`,
			message: "1 dependencies of '/nix/store/x-top.drv' failed", lines: []string{"m"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log nixLog
			for line := range strings.Lines(tt.input) {
				log.line(strings.TrimSuffix(line, "\n"))
			}
			if got := log.message(); got != tt.message {
				t.Errorf("message %q, want %q", got, tt.message)
			}
			if diff := cmp.Diff(tt.lines, log.lines()); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
			if log.failure() != nil {
				t.Errorf("failure %+v", log.failure())
			}
		})
	}
}

// A log of any length takes bounded memory.
func TestNixLogBounds(t *testing.T) {
	var log nixLog
	long := strings.Repeat("x", 100_000)
	for i := range 5000 {
		log.line(fmt.Sprintf(`@nix {"action":"start","id":%d,"type":105,"fields":["/nix/store/%d-p.drv"]}`, i, i))
		for range 3 {
			log.line(fmt.Sprintf(`@nix {"action":"result","id":%d,"type":101,"fields":["line"]}`, i))
		}
		log.line(fmt.Sprintf(`@nix {"action":"stop","id":%d}`, i))
		log.line(fmt.Sprintf("plain %d", i))
	}
	log.line(long)
	if len(log.running) != 0 || len(log.recent) > recentBuilds || log.built != 5000 {
		t.Errorf("%d running, %d recent, %d built", len(log.running), len(log.recent), log.built)
	}
	lines := log.lines()
	if len(lines) != tailLines {
		t.Fatalf("%d lines, want %d", len(lines), tailLines)
	}
	if lines[0] != "plain 4951" || len(lines[tailLines-1]) > lineRunes+10 {
		t.Errorf("first %q, last has %d bytes", lines[0], len(lines[tailLines-1]))
	}
}

func FuzzNixLog(f *testing.F) {
	f.Add([]byte("plain\n@nix {}\n@nix {\"action\":\"start\",\"id\":1,\"type\":105,\"fields\":[\"/nix/store/a-b.drv\"]}"))
	logs, err := filepath.Glob("testdata/nixlog/*.log")
	if err != nil || len(logs) == 0 {
		f.Fatalf("no logs to start from: %v", err)
	}
	for _, name := range logs {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var log nixLog
		for line := range strings.Lines(string(data)) {
			log.line(strings.TrimSuffix(line, "\n"))
		}
		for _, text := range append(append(log.lines(), log.message()), log.building()...) {
			if utf8.RuneCountInString(text) > lineRunes+len(" [cut]") || strings.ContainsAny(text, "\x1b\n\r\x00") {
				t.Errorf("%q is not fit to be shown", text)
			}
		}
	})
}

func TestCut(t *testing.T) {
	for in, want := range map[string]string{
		"":                                  "",
		" two\nlines\x1b[31m ":              "two lines",
		strings.Repeat("é", lineRunes):      strings.Repeat("é", lineRunes),
		strings.Repeat("é", lineRunes+1):    strings.Repeat("é", lineRunes) + " [cut]",
		strings.Repeat("xy", lineRunes)[1:]: strings.Repeat("yx", lineRunes/2) + " [cut]",
	} {
		if got := oneLine(in); got != want {
			t.Errorf("oneLine(%q) = %q, want %q", in, got, want)
		}
	}
}

// The logs were printed with two machines that build, of which the first cannot
// be reached: a build that fails there, one that is there already, and one that
// goes well. The other machine's Nix tells of each build too.
func TestNixLogBuilders(t *testing.T) {
	for _, version := range []string{"2.26.3", "2.34.8"} {
		t.Run(version, func(t *testing.T) {
			var log nixLog
			var refused, ended []string
			log.onRefusal = func(message string) { refused = append(refused, message) }
			log.onActivity = func(a nixActivity) {
				if a.status != "" {
					ended = append(ended, drvName(a.path)+" "+string(a.status))
				}
			}
			for line := range strings.Lines(readFile(t, "testdata/nixlog/builders-"+version+".log")) {
				log.line(strings.TrimSuffix(line, "\n"))
			}
			b := log.failure()
			if b == nil || drvName(b.drv) != "nixos-system-beta" {
				t.Fatalf("failed: %+v", b)
			}
			if !strings.Contains(b.message, "failed with exit code 3") || strings.Contains(b.message, "log lines") {
				t.Errorf("message %q, want that of the machine that built, without its log", b.message)
			}
			if diff := cmp.Diff([]string{"compiling", "cc: bad input"}, b.log.all()); diff != "" {
				t.Errorf("its log (-want +got):\n%s", diff)
			}
			if len(refused) != 1 || !strings.HasPrefix(refused[0], "cannot build on 'ssh-ng://nix@127.0.0.1': ") ||
				!strings.HasSuffix(refused[0], "(ssh: connect to host 127.0.0.1 port 22: Connection refused)") {
				t.Errorf("refusals %q", refused)
			}
			// A failure may be told twice, see Builder.EndActivity.
			slices.Sort(ended)
			if diff := cmp.Diff([]string{"common-1.0 passed", "nixos-system-alpha passed", "nixos-system-beta failed"}, slices.Compact(ended)); diff != "" {
				t.Errorf("builds (-want +got):\n%s", diff)
			}
			// Of what it counts, the other machine's counts are no part.
			if log.done != 2 || log.expected < 2 {
				t.Errorf("done %d of %d", log.done, log.expected)
			}
			if n := log.fetchedBytes(); n != 0 {
				t.Errorf("%d bytes count as fetched, which were copied from a machine that builds", n)
			}
			if got, want := log.summary(), "3 built (3 on ssh-ng://localhost), not on ssh-ng://nix@127.0.0.1, which could not"; got != want {
				t.Errorf("summary %q, want %q", got, want)
			}
		})
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
