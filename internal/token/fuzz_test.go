package token

import (
	"testing"
	"time"
)

func FuzzParse(f *testing.F) {
	_, line, err := New("ci", []string{"main", "team-*"}, Pull|Push, time.Time{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(line))
	f.Add([]byte(line + " 2027-01-31T00:00:00Z # until then\n\n"))
	f.Add([]byte("ci push main 00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := parse(data)
		if err != nil {
			return
		}
		for _, e := range entries {
			if CheckName(e.subject.Name) != nil || len(e.subject.Grants) == 0 {
				t.Fatalf("accepted %+v", e)
			}
			for _, g := range e.subject.Grants {
				if again, err := ParseRights(g.Rights.String()); err != nil || again != g.Rights || again == 0 {
					t.Fatalf("rights %q read as %q, %v", g.Rights, again, err)
				}
			}
		}
	})
}
