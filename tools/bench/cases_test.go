package main

import (
	"strings"
	"testing"
)

// A case that names a program wrongly would judge nothing, and one that needs
// something would not say how to have it.
func TestCasesHoldTogether(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range cases {
		if seen[c.name] || c.rounds < 1 || len(c.programs) == 0 {
			t.Errorf("case %s: twice, or without rounds or programs", c.name)
		}
		seen[c.name] = true
		programs := map[string]bool{}
		for _, p := range c.programs {
			programs[p.name] = true
			for _, need := range p.needs {
				if !strings.HasPrefix(need, "nix ") && hints[need] == "" {
					t.Errorf("case %s: nothing says how to have %s", c.name, need)
				}
			}
		}
		for _, g := range c.targets {
			if !programs[g.program] || g.peer != "" && !programs[g.peer] || valueNames[g.value] == "" || (g.atLeast == 0) == (g.atMost == 0) {
				t.Errorf("case %s: a target that nothing can meet: %+v", c.name, g)
			}
		}
	}
	for line := range strings.Lines(notes) {
		if name, ok := strings.CutPrefix(line, "## "); ok && !seen[strings.TrimSpace(name)] {
			t.Errorf("notes.md has a section for %s, which is no case", name)
		}
	}
}
