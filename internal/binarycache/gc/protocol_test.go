package gc

import (
	"fmt"
	"testing"
)

// The states of model_test.go, all of them, and what must hold in each.

// starts are caches before anything runs: each path that is there has its
// closure, NARs may lie about, and the old generation may name y.
func starts() (all []world) {
	for set := range 8 {
		for orphans := range 4 {
			if closed(set) != set {
				continue
			}
			w := world{old: uint8(set), nars: uint8(narsOf(set) | orphans)}
			all = append(all, w)
			if set&y != 0 {
				w.roots = oldRoot
				all = append(all, w)
			}
		}
	}
	return all
}

// explore visits every state that can be reached, and returns what is wrong with
// the first broken one, with the way to it.
func (s *scenario) explore() (states int, wrong string) {
	from := make(map[world]world)
	for _, start := range starts() {
		if s.empty && start != (world{}) {
			continue
		}
		if _, met := from[start]; met {
			continue
		}
		from[start] = start
		stack := []world{start}
		for len(stack) > 0 {
			w := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if problem := s.broken(&w); problem != "" {
				return len(from), problem + s.trace(from, w)
			}
			steps := 0
			s.next(w, func(v world) {
				steps++
				if _, met := from[v]; !met {
					from[v] = w
					stack = append(stack, v)
				}
			})
			if steps == 0 {
				if problem := s.unfinished(&w); problem != "" {
					return len(from), problem + s.trace(from, w)
				}
			}
		}
	}
	return len(from), ""
}

// unfinished says what is wrong with a state from which nothing goes on.
func (s *scenario) unfinished(w *world) string {
	for i, want := range s.pushes {
		switch p := w.push[i]; {
		case !p.dead && p.at != pushOver:
			return fmt.Sprintf("push %d waits for ever", i)
		case !p.dead && p.ok && s.rooted[i] && (w.roots&(1<<i) == 0 || closed(want)&^int(w.infos()) != 0):
			return fmt.Sprintf("push %d reported success and its root is not whole", i)
		}
	}
	alone := len(s.pushes) == 0
	for i := range s.sweeps {
		if w.sweep[i].dead {
			alone = false
		} else if w.sweep[i].at != sweepOver {
			return fmt.Sprintf("sweep %d does not end", i)
		}
	}
	if alone && (w.infos() != 0 || w.nars != 0 || w.roots != 0) {
		return "a sweep has left garbage"
	}
	return ""
}

func (s *scenario) trace(from map[world]world, w world) (text string) {
	for {
		text = fmt.Sprintf("\n%+v", w) + text
		if from[w] == w {
			return text
		}
		w = from[w]
	}
}

func TestProtocol(t *testing.T) {
	for name, s := range map[string]scenario{
		"a sweep":                           {sweeps: 1},
		"two sweeps":                        {sweeps: 2, kills: true},
		"a push and a sweep":                {pushes: []int{y}, rooted: []bool{true}, sweeps: 1, kills: true},
		"a push without a root and a sweep": {pushes: []int{y}, rooted: []bool{false}, sweeps: 1, kills: true},
		"a push of a twin and a sweep":      {pushes: []int{z}, rooted: []bool{true}, sweeps: 1, kills: true},
		"two pushes and a sweep":            {pushes: []int{y, z}, rooted: []bool{true, true}, sweeps: 1, kills: true},
		"two pushes of one path":            {pushes: []int{y, x}, rooted: []bool{true, false}, sweeps: 1, kills: true},
		"a push that takes no lease":        {pushes: []int{y}, rooted: []bool{true}, sweeps: 1, kills: true, empty: true, noLease: true},
		"a push and two sweeps":             {pushes: []int{y}, rooted: []bool{true}, sweeps: 2, kills: true},
	} {
		t.Run(name, func(t *testing.T) {
			states, wrong := s.explore()
			if wrong != "" {
				t.Errorf("after %d states: %s", states, wrong)
			}
			t.Logf("%d states", states)
		})
	}
}

// Each part of the protocol is needed: without it a state is broken.
func TestProtocolMutants(t *testing.T) {
	push := func(change func(*scenario)) scenario {
		s := scenario{pushes: []int{y}, rooted: []bool{true}, sweeps: 1}
		change(&s)
		return s
	}
	twin := func(change func(*scenario)) scenario {
		s := scenario{pushes: []int{z}, rooted: []bool{true}, sweeps: 1}
		change(&s)
		return s
	}
	for name, s := range map[string]scenario{
		"pushes take no lease":                            push(func(s *scenario) { s.noLease = true }),
		"pushes ask what is there before they wait":       push(func(s *scenario) { s.askFirst = true }),
		"pushes do not wait for sweeps":                   push(func(s *scenario) { s.noWait = true }),
		"pushes give the lease back before the root":      push(func(s *scenario) { s.earlyRelease = true }),
		"leases do not claim NARs":                        twin(func(s *scenario) { s.noNARClaim = true }),
		"sweeps look at leases before they say what goes": push(func(s *scenario) { s.leasesFirst = true }),
		"sweeps do not look for new roots and paths":      push(func(s *scenario) { s.noRelist = true }),
		"sweeps delete NARs before narinfos":              push(func(s *scenario) { s.narsFirst = true }),
		"sweeps delete paths before what refers to them":  push(func(s *scenario) { s.anyOrder = true }),
		"sweeps end their notice before they are done":    push(func(s *scenario) { s.earlyEnd = true }),
		"sweeps do not keep what is young":                {pushes: []int{y}, rooted: []bool{true}, sweeps: 1, empty: true, noLease: true, noYoung: true},
	} {
		t.Run(name, func(t *testing.T) {
			states, wrong := s.explore()
			if wrong == "" {
				t.Errorf("%d states, and the checker finds nothing wrong", states)
			}
		})
	}
}
