package cache_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

// A sink may ask for a NAR again: a request whose body cannot be rewound.
func TestNARsAreSentAgain(t *testing.T) {
	errBusy := errors.New("the server is busy")
	for name, c := range map[string]struct {
		failures int
		want     string
	}{
		"in the end it works": {failures: 5},
		"it never works":      {failures: 1000, want: "the server is busy (tried 6 times)"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGraph([][]int{{}, {0}}, []int{10, 20})
				s := newSink(cache.Traits{})
				left := c.failures
				s.fail = func(op string, p nix.StorePath) error {
					if op == "put" && p == pathOf(0) && left > 0 {
						left--
						return &cache.AgainError{Err: errBusy, After: time.Second}
					}
					return nil
				}
				var progress cache.Progress
				result, err := cache.Copy(t.Context(), s, g, []nix.StorePath{pathOf(1)}, cache.Options{Progress: &progress})
				if c.want == "" {
					if err != nil {
						t.Fatal(err)
					}
					if progress.Bytes.Load() != progress.TotalBytes.Load() {
						t.Errorf("%d of %d bytes", progress.Bytes.Load(), progress.TotalBytes.Load())
					}
					return
				}
				if !errors.Is(err, errBusy) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v", err)
				}
				if result.Outcomes[0].Action == cache.Sent || result.Outcomes[1].Action == cache.Sent {
					t.Errorf("outcomes %v", result.Outcomes)
				}
			})
		})
	}
}
