package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// result is all that a run measured.
type result struct {
	Started time.Time  `json:"started"`
	Seconds float64    `json:"seconds"`
	Quick   bool       `json:"quick"`
	Machine machine    `json:"machine"`
	Cases   []measured `json:"cases"`
}

type machine struct {
	CPU        string `json:"cpu"`
	CPUs       int    `json:"cpus"`
	MemoryGiB  int64  `json:"memory_gib"`
	Kernel     string `json:"kernel"`
	FileSystem string `json:"file_system"`
	Pcache     string `json:"pcache"`
	LoadBefore string `json:"load_before"`
	LoadAfter  string `json:"load_after"`
}

func (m machine) String() string {
	return fmt.Sprintf("%d × %s, %d GiB, Linux %s, %s, %s", m.CPUs, m.CPU, m.MemoryGiB, m.Kernel, m.FileSystem, m.Pcache)
}

func describe(b *bench) machine {
	m := machine{CPU: "unknown processor", CPUs: runtime.GOMAXPROCS(0), LoadBefore: loadAverage()}
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(data)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				m.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		m.MemoryGiB = int64((info.Totalram*uint64(info.Unit) + 1<<29) >> 30)
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	var fs unix.Statfs_t
	if unix.Statfs(b.work, &fs) == nil {
		m.FileSystem = fileSystem(uint32(fs.Type))
	}
	if out, err := exec.Command(b.pcache, "--version").Output(); err == nil {
		m.Pcache = strings.TrimSpace(string(out))
	}
	return m
}

func fileSystem(magic uint32) string {
	switch magic {
	case 0xef53:
		return "ext4"
	case 0x9123683e:
		return "btrfs"
	case 0x58465342:
		return "xfs"
	case 0x01021994:
		return "tmpfs"
	case 0x794c7630:
		return "overlayfs"
	default:
		return fmt.Sprintf("file system %#x", magic)
	}
}

func loadAverage() string {
	data, err := os.ReadFile("/proc/loadavg")
	words := strings.Fields(string(data))
	if err != nil || len(words) < 3 {
		return "unknown"
	}
	return strings.Join(words[:3], " ")
}

// measured is a case that was run.
type measured struct {
	Name     string    `json:"name"`
	Title    string    `json:"title"`
	Closure  string    `json:"closure"`
	Unit     string    `json:"unit,omitempty"` // of the rate
	CPUOf    string    `json:"cpu_of,omitempty"`
	Programs []runs    `json:"programs"`
	Absent   []string  `json:"absent,omitempty"` // programs left out, and why
	Targets  []verdict `json:"targets"`
	Load     string    `json:"load_average"` // at its end
}

// runs are a program's rounds.
type runs struct {
	Name    string   `json:"name"`
	Samples []sample `json:"rounds"`
}

// verdict is a target and what was measured.
type verdict struct {
	Target string  `json:"target"`
	Got    float64 `json:"got"`
	Text   string  `json:"text"`
	Met    bool    `json:"met"`
}

func (b *bench) measure(ctx context.Context, c benchCase) (measured, error) {
	closure, err := b.closure(ctx, c.shape)
	if err != nil {
		return measured{}, err
	}
	m := measured{Name: c.name, Title: c.title, Closure: closure.String(), Unit: c.unit, CPUOf: c.cpuOf}
	var programs []program
	for _, p := range c.programs {
		if what := b.missing(p); what != "" {
			m.Absent = append(m.Absent, fmt.Sprintf("%s (%s)", p.name, what))
			continue
		}
		programs = append(programs, p)
		m.Programs = append(m.Programs, runs{Name: p.name})
	}
	rounds := c.rounds
	if b.rounds > 0 {
		rounds = b.rounds
	}
	if b.quick {
		rounds = 1
	}
	for round := range rounds {
		for k := range programs {
			i := (k + round) % len(programs) // no program always comes first
			if round > 0 && programs[i].slow {
				continue
			}
			fmt.Fprintf(os.Stderr, "%s, round %d of %d: %s ... ", c.name, round+1, rounds, programs[i].name)
			s, err := programs[i].run(ctx, b, closure)
			if err != nil {
				fmt.Fprintln(os.Stderr, "failed")
				return m, fmt.Errorf("%s: %w", programs[i].name, err)
			}
			fmt.Fprintf(os.Stderr, "%.2f s, CPU %.2f s, %d MiB\n", s.Wall, s.cpu(), s.RSS/mib)
			m.Programs[i].Samples = append(m.Programs[i].Samples, s)
		}
	}
	m.Load = loadAverage()
	for _, t := range c.targets {
		if v, ok := t.judge(m); ok {
			m.Targets = append(m.Targets, v)
		}
	}
	return m, nil
}

func (m measured) runs(name string) *runs {
	for i := range m.Programs {
		if m.Programs[i].Name == name {
			return &m.Programs[i]
		}
	}
	return nil
}

// value is the median of the rounds, or of memory the highest.
func (r runs) value(what string) float64 {
	values := make([]float64, len(r.Samples))
	for i, s := range r.Samples {
		switch what {
		case "wall":
			values[i] = s.Wall
		case "cpu":
			values[i] = s.cpu()
		case "out":
			values[i] = float64(s.Out)
		case "rss":
			values[i] = float64(s.RSS)
		case "first":
			values[i] = s.First
		case "server":
			values[i] = s.Server
		case "rate":
			values[i] = s.Rate
		default:
			panic("no value " + what) // the cases are constants
		}
	}
	slices.Sort(values)
	if what == "rss" {
		return values[len(values)-1]
	}
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

var valueNames = map[string]string{"wall": "time", "cpu": "CPU time", "rss": "peak memory", "out": "bytes out", "first": "time before the first byte goes up"}

func (t target) judge(m measured) (verdict, bool) {
	r := m.runs(t.program)
	if r == nil || len(r.Samples) == 0 {
		return verdict{}, false
	}
	v := verdict{Got: r.value(t.value)}
	what := valueNames[t.value]
	if t.peer != "" {
		peer := m.runs(t.peer)
		if peer == nil || len(peer.Samples) == 0 {
			return v, false
		}
		v.Got = peer.value(t.value) / v.Got
		v.Met = v.Got >= t.atLeast
		v.Target = fmt.Sprintf("%s of %s, in that of %s: at least %g", what, t.peer, t.program, t.atLeast)
		v.Text = fmt.Sprintf("%.2f", v.Got)
		return v, true
	}
	v.Met = v.Got <= t.atMost
	if t.value == "rss" {
		v.Target = fmt.Sprintf("%s of %s: at most %.0f MiB", what, t.program, t.atMost/mib)
		v.Text = fmt.Sprintf("%.0f MiB", v.Got/mib)
	} else {
		v.Target = fmt.Sprintf("%s of %s: at most %g s", what, t.program, t.atMost)
		v.Text = fmt.Sprintf("%.3f s", v.Got)
	}
	return v, true
}

// rows are the table of a case.
func (m measured) rows() [][]string {
	rows := [][]string{{"program", "seconds", "of the first", "CPU s", "server's CPU s", "peak MiB", "MB out", "first byte s", m.Unit, "rounds"}}
	if m.CPUOf != "" {
		rows[0][3], rows[0][5] = "CPU s of "+m.CPUOf, "its peak MiB"
	}
	optional := func(format string, v float64) string {
		if v == 0 {
			return ""
		}
		return fmt.Sprintf(format, v)
	}
	for _, r := range m.Programs {
		rows = append(rows, []string{
			r.Name, fmt.Sprintf("%.2f", r.value("wall")), fmt.Sprintf("%.2f", r.value("wall")/m.Programs[0].value("wall")),
			fmt.Sprintf("%.2f", r.value("cpu")), optional("%.2f", r.value("server")), fmt.Sprintf("%.0f", r.value("rss")/mib),
			optional("%.0f", r.value("out")/1e6), optional("%.2f", r.value("first")), optional("%.0f", r.value("rate")), fmt.Sprint(len(r.Samples)),
		})
	}
	// A column that nothing is in is left out.
	for column := len(rows[0]) - 1; column >= 0; column-- {
		if !slices.ContainsFunc(rows[1:], func(row []string) bool { return row[column] != "" }) {
			for i := range rows {
				rows[i] = slices.Delete(rows[i], column, column+1)
			}
		}
	}
	return rows
}

func (m measured) text() string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s: %s\n  %s; load average %s\n", m.Name, m.Title, m.Closure, m.Load)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range m.rows() {
		fmt.Fprintln(w, strings.Join(row, "\t")+"\t")
	}
	_ = w.Flush()
	for _, absent := range m.Absent {
		fmt.Fprintf(&b, "  not compared: %s\n", absent)
	}
	for _, v := range m.Targets {
		fmt.Fprintf(&b, "  %-7s %s: %s\n", v.word(), v.Target, v.Text)
	}
	return b.String()
}

func (v verdict) word() string {
	if v.Met {
		return "met"
	}
	return "NOT MET"
}

func (r result) write(o options) error {
	if o.json != "" {
		data, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.json, append(data, '\n'), 0o644); err != nil {
			return err
		}
	}
	if o.markdown != "" {
		return os.WriteFile(o.markdown, r.document(), 0o644)
	}
	return nil
}

//go:embed notes.md
var notes string

// note is what notes.md says of a case.
func note(name string) string {
	_, rest, found := strings.Cut(notes, "\n## "+name+"\n")
	if !found {
		return ""
	}
	text, _, _ := strings.Cut(rest, "\n## ")
	return strings.TrimSpace(text)
}

func (r result) document() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `# Benchmarks

Written by %[1]smake bench-doc%[1]s on %s; the next run replaces it, but for the remarks, which are in tools/bench/notes.md. The programs of a case ran in turns, in one run. Times are medians of the rounds and hold for this machine; ratios say more, and on a busy machine CPU time says more than time. Every program signs; all write zstd, Nix with its own level (3). Memory is the highest of the rounds, of a program's largest process.

Machine: %s. Load average before %s, after %s (this run's own included). %.0f s in all.
`, "`", r.Started.Format(time.DateOnly), r.Machine, r.Machine.LoadBefore, r.Machine.LoadAfter, r.Seconds)
	if r.Quick {
		b.WriteString("\nThis was a quick run: a fifth of the closure, one round. Its ratios are rough.\n")
	}
	for _, m := range r.Cases {
		fmt.Fprintf(&b, "\n## %s\n\n%s%s: %s. Load average at its end %s.\n\n", m.Name, strings.ToUpper(m.Title[:1]), m.Title[1:], m.Closure, m.Load)
		for i, row := range m.rows() {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
			if i == 0 {
				b.WriteString("|---" + strings.Repeat("|---:", len(row)-1) + "|\n")
			}
		}
		for _, absent := range m.Absent {
			fmt.Fprintf(&b, "\nNot compared: %s.\n", absent)
		}
		if len(m.Targets) > 0 {
			b.WriteString("\n| target | measured | |\n|---|---:|---|\n")
		}
		for _, v := range m.Targets {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", v.Target, v.Text, strings.ToLower(v.word()))
		}
		if text := note(m.Name); text != "" {
			fmt.Fprintf(&b, "\n%s\n", text)
		}
	}
	return b.Bytes()
}
