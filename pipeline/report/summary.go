package report

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"strings"
)

// outcomes counts things by Status.
type outcomes map[Status]int

// String is "3 passed, 1 failed".
func (n outcomes) String() string {
	var parts []string
	for _, s := range []Status{Passed, Failed, Interrupted, Skipped} {
		if n[s] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[s], s))
		}
	}
	return strings.Join(parts, ", ")
}

// hostsByStatus counts the hosts of each outcome.
func (r *Report) hostsByStatus() outcomes {
	n := outcomes{}
	for _, h := range r.Hosts {
		n[h.Status]++
	}
	return n
}

// result is a host's outcome in a few words: "passed", "build failed". Step
// names come from outside and go through quote.
func (h *Host) result(quote func(string) string) string {
	switch h.Status {
	case Failed:
		step := ""
		if h.Failure != nil {
			step = h.Failure.Step
		} else {
			step = h.stepWith(Failed)
		}
		return quote(cmp.Or(step, "check")) + " failed"
	case Interrupted:
		if step := h.stepWith(Interrupted); step != "" {
			return "interrupted in " + quote(step)
		}
	}
	return string(h.Status)
}

// stepWith is the name of the first step with that status, if there is one.
func (h *Host) stepWith(status Status) string {
	for _, s := range h.Steps {
		if s.Status == status {
			return s.Name
		}
	}
	return ""
}

// failure is what broke one host or several.
type failure struct {
	first *Host
	hosts []string
}

// failures groups the failed hosts whose failure is the same: a derivation
// that all of them need, a push that failed as a whole.
func (r *Report) failures() []*failure {
	type key struct {
		step, message, drvPath string
		log                    [sha256.Size]byte // where no derivation is named
	}
	var list []*failure
	groups := map[key]*failure{}
	for i := range r.Hosts {
		h := &r.Hosts[i]
		if h.Status != Failed || h.Failure == nil {
			continue
		}
		k := key{step: h.Failure.Step, message: h.Failure.Message, drvPath: h.Failure.DrvPath}
		if k.drvPath == "" {
			k.log = sha256.Sum256([]byte(strings.Join(h.Failure.LogTail, "\n")))
		}
		if groups[k] == nil {
			groups[k] = &failure{first: h}
			list = append(list, groups[k])
		}
		groups[k].hosts = append(groups[k].hosts, h.Name)
	}
	return list
}

// names lists the first hosts, and counts the rest.
func (f *failure) names(quote func(string) string) string {
	const most = 8
	var parts []string
	for _, name := range f.hosts[:min(len(f.hosts), most)] {
		parts = append(parts, quote(name))
	}
	list := strings.Join(parts, ", ")
	if more := len(f.hosts) - most; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return list
}

// time is what a host's steps took together, "-" if it took none.
func (h *Host) time() string {
	var sum float64
	taken := false
	for _, s := range h.Steps {
		sum += s.Seconds
		taken = taken || s.Status != Skipped
	}
	if !taken {
		return "-"
	}
	return duration(sum)
}

// union is the number and size of the paths of all hosts' closures, each
// counted once; known is false if no host has one.
func (r *Report) union() (paths int, bytes int64, known bool) {
	seen := make([]bool, len(r.Paths))
	for _, h := range r.Hosts {
		if h.Closure == nil {
			continue
		}
		known = true
		for _, m := range h.Closure.Members {
			if m >= 0 && m < len(seen) && !seen[m] {
				seen[m] = true
				paths++
				bytes = addSizes(bytes, r.Paths[m].NARBytes)
			}
		}
	}
	return paths, bytes, known
}

// skipReasons are the reasons for which a push leaves paths out, and what
// they mean: in each case the cache has what is needed. Others may come.
var skipReasons = map[string]string{
	"present":  "already in the cache",
	"implied":  "in the closure of a root that is already in the cache",
	"same-nar": "same content as another path in the cache",
}

// summary says in a sentence what a push did. It holds no text from outside.
func (p *Push) summary() string {
	total := count(len(p.Paths), "path")
	var plan Count
	here, elsewhere := 0, 0
	for _, q := range p.Paths {
		switch {
		case q.Action == actionSend:
			plan.add(q)
		case q.Action == actionSkipped && skipReasons[q.Reason] != "":
			here++
		default:
			elsewhere++
		}
	}
	switch {
	case p.Status == Skipped:
		return "nothing was pushed"
	case p.Status != Passed:
		return fmt.Sprintf("push %s after %d of %s, %s", p.Status, p.Sent.Paths, total, mib(p.Sent.FileBytes))
	case p.DryRun && plan.Paths > 0:
		return fmt.Sprintf("dry run: %d of %s to send, %s before compression", plan.Paths, total, mib(plan.NARBytes))
	case p.Sent.Paths > 0:
		return fmt.Sprintf("sent %d of %s, %s compressed from %s", p.Sent.Paths, total, mib(p.Sent.FileBytes), mib(p.Sent.NARBytes))
	case len(p.Paths) == 0:
		return "nothing to send: the push was given no paths"
	case elsewhere > 0:
		return fmt.Sprintf("nothing to send: of %s, %d in the cache and %d left out", total, here, elsewhere)
	case here == 1:
		return "nothing to send: the one path is in the cache"
	default:
		return "nothing to send: all " + total + " are in the cache"
	}
}
