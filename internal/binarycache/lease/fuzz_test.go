package lease

import (
	"slices"
	"testing"
)

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"version":1,"purpose":"push","holder":"a@b","taken":"2026-01-02T03:04:05Z","ttl_seconds":60,"paths":["b","a"]}`))
	f.Add([]byte(`{"version":1,"ttl_seconds":-1}`))
	f.Add([]byte(`{"version":1,"ttl_seconds":1,"paths":null}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parse(data)
		if err != nil {
			return
		}
		if r.TTL <= 0 || r.Version != version {
			t.Fatalf("accepted %+v", r)
		}
		for _, list := range [][]string{r.Paths, r.NARs, r.Keys} {
			if !slices.IsSorted(list) {
				t.Fatalf("%q is not sorted", list)
			}
			if len(list) > 0 && !r.meets(&r.Claim) {
				t.Fatal("a claim does not meet itself")
			}
		}
	})
}
