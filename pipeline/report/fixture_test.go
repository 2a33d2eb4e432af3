package report

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// clock is a Builder's clock that only a test moves.
type clock struct{ t time.Time }

func (c *clock) now() time.Time          { return c.t }
func (c *clock) advance(d time.Duration) { c.t = c.t.Add(d) }

func newClock() *clock { return &clock{time.Date(2026, 3, 1, 2, 30, 0, 0, time.UTC)} }

// storePath makes a well-formed store path; salt stands for what was built.
func storePath(name, salt string) string {
	sum := sha256.Sum256([]byte(name + "\x00" + salt))
	hash := make([]byte, hashLen)
	for i := range hash {
		hash[i] = nixBase32[int(sum[i])%len(nixBase32)]
	}
	return "/nix/store/" + string(hash) + "-" + name
}

// pkg is a store path of a fixture.
type pkg struct {
	name, salt string
	bytes      int64
}

func (p pkg) path() string { return storePath(p.name, p.salt) }

var fleet = []Host{
	{Name: "yoga", Description: "Lenovo Yoga", System: "x86_64-linux"},
	{Name: "zephyrus", Description: "ASUS ROG Zephyrus", System: "x86_64-linux"},
	{Name: "desktop", Description: "Desktop workstation", System: "x86_64-linux"},
	{Name: "ovh-cloud-vps", Description: "Server", System: "x86_64-linux"},
}

// closures are the packages of each host, toplevel first.
func closures() map[string][]pkg {
	base := []pkg{
		{"glibc-2.40-66", "1", 31_457_280}, {"bash-5.2p37", "1", 2_097_152},
		{"systemd-257.6", "1", 52_428_800}, {"openssl-3.4.1", "1", 7_340_032},
		{"openssl-3.4.1-bin", "1", 1_048_576}, {"openssl-3.4.1-man", "1", 524_288},
		{"linux-6.12.30", "1", 15_728_640}, {"linux-6.12.30-modules", "1", 157_286_400},
		{"unit-dbus-1.service", "1", 1_024}, {"etc", "1", 4_096},
	}
	workstation := []pkg{{"firefox-139.0.1", "1", 262_144_000}, {"niri-25.05", "1", 20_971_520}}
	all := map[string][]pkg{}
	for _, h := range fleet {
		list := []pkg{{"nixos-system-" + h.Name + "-25.05", "1", 20_480}}
		list = append(list, base...)
		if h.Name != "ovh-cloud-vps" {
			list = append(list, workstation...)
		}
		all[h.Name] = list
	}
	return all
}

// pushOf is what pcache would print for closures of those hosts, where sent
// says which paths went up.
func pushOf(c map[string][]pkg, sent func(pkg) bool, hosts ...string) *Push {
	p := &Push{
		Schema: PushSchema, Status: Passed, Cache: "file:///srv/cache",
		Started: time.Date(2026, 3, 1, 2, 33, 0, 0, time.UTC), Seconds: 4.2, PlanSeconds: 0.08,
		PublicKeys: []string{"pantheros-1:mmPjLVkwOGw8rOIuFYVGbIhxZ9HfZyHW0qsfpWxCtXM="},
		Skipped:    map[string]Count{},
	}
	byPath := map[string]*PushPath{}
	for i, h := range hosts {
		reason := "implied" // by the root, if that is there
		if slices.ContainsFunc(c[h], sent) {
			reason = "present"
		}
		root := PushRoot{Name: h, Path: c[h][0].path(), Generation: "20260301T023300Z", Paths: len(c[h])}
		for _, k := range c[h] {
			root.NARBytes += k.bytes
			q := byPath[k.path()]
			if q == nil {
				q = &PushPath{Path: k.path(), NARHash: "sha256:" + strings.Repeat("0", 52), NARBytes: k.bytes, Action: "skipped", Reason: reason}
				if q.Path == root.Path {
					q.Reason = "present"
				}
				if sent(k) {
					q.Action, q.Reason, q.FileBytes = "sent", "", k.bytes/3
					p.Sent.add(*q)
				} else {
					s := p.Skipped[q.Reason]
					s.Paths++
					s.NARBytes += k.bytes
					p.Skipped[q.Reason] = s
				}
				byPath[k.path()] = q
			}
			q.Roots = append(q.Roots, i)
			if q.Action == "sent" {
				root.Sent.add(*q)
			}
		}
		p.Roots = append(p.Roots, root)
	}
	for _, q := range byPath {
		p.Paths = append(p.Paths, *q)
	}
	slices.SortFunc(p.Paths, func(a, b PushPath) int { return strings.Compare(a.Path, b.Path) })
	return p
}

func everything(pkg) bool { return true }
func nothing(pkg) bool    { return false }

func realRun(c *clock) Run {
	return Run{
		Fleet: "pantherOS", Started: c.t, Inputs: "real", Release: "25.05",
		Commit: "3f1c9d2", NixVersion: "2.26.3", Cache: "https://user:hunter2@cache.example.org/pantheros",
	}
}

func newRun(t *testing.T, edit func(*Run)) (*Builder, *clock) {
	t.Helper()
	c := newClock()
	run := realRun(c)
	if edit != nil {
		edit(&run)
	}
	b := NewBuilder(run, fleet...)
	b.Clock = c.now
	return b, c
}

// checked records the fleet's and the hosts' checks as passed.
func checked(b *Builder, c *clock) {
	for _, name := range []string{"syntax", "drift"} {
		b.StartCheck(name, "")
		c.advance(120 * time.Millisecond)
		b.Check(Check{Name: name, Status: Passed, Detail: map[string]string{"syntax": "118 files", "drift": "generated files are up to date"}[name]})
	}
	for _, h := range fleet {
		b.StartCheck("security", h.Name)
		c.advance(time.Second)
		b.Check(Check{Name: "security", Host: h.Name, Status: Passed, Detail: "firewall on, root login off"})
	}
}

// built takes hosts through evaluation and build.
func built(b *Builder, c *clock, closures map[string][]pkg, hosts ...string) {
	for i, h := range hosts {
		b.StartStep(h, StepEvaluate)
		c.advance(8 * time.Second)
		b.EndStep(h, StepEvaluate, Passed, "")
		b.SetDrvPath(h, storePath("nixos-system-"+h+"-25.05.drv", "1"))
		b.StartStep(h, StepBuild)
		c.advance(time.Duration(30+i) * time.Second)
		b.EndStep(h, StepBuild, Passed, "")
		b.SetToplevel(h, closures[h][0].path())
	}
}

func mustPush(t *testing.T, b *Builder, p *Push) {
	t.Helper()
	if err := b.Push(p); err != nil {
		t.Fatal(err)
	}
}

var allHosts = []string{"desktop", "ovh-cloud-vps", "yoga", "zephyrus"}

// bigReport is a report of many hosts, each with half of a common pool of
// paths, three to a package. Salt changes a tenth of the paths.
func bigReport(hosts, paths int, salt string) *Report {
	r := &Report{Schema: Schema, Status: Passed, Run: Run{Fleet: "big", Inputs: "real"}}
	for i := range paths {
		p := pkg{fmt.Sprintf("package%d-%d.%d", i/3, i%3, len(salt)*(i%10/9)), "", int64(i) * 1000}
		if i%10 == 9 {
			p.salt = salt
		}
		r.Paths = append(r.Paths, Path{Path: p.path(), NARBytes: p.bytes})
	}
	slices.SortFunc(r.Paths, func(a, b Path) int { return strings.Compare(a.Path, b.Path) })
	for i := range hosts {
		c := &Closure{}
		for m := range r.Paths {
			if (m*7+i)%2 == 0 {
				c.Members = append(c.Members, m)
				c.NARBytes += r.Paths[m].NARBytes
			}
		}
		c.Paths = len(c.Members)
		r.Hosts = append(r.Hosts, Host{
			Name: fmt.Sprintf("host%03d", i), Status: Passed, Toplevel: r.Paths[c.Members[0]].Path, Closure: c,
			Steps: []Step{{Name: StepBuild, Status: Passed, Seconds: 1}},
		})
	}
	return r
}
