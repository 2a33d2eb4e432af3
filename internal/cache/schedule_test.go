package cache

import (
	"slices"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/nix"
)

// What many steps wait for comes before what is larger, unless that is so large
// that it takes as long as they; whether it was offered before the plan was made
// or not.
func TestLongRowsFirst(t *testing.T) {
	out := func(name string, size int64, refs ...nix.StorePath) Outcome {
		return Outcome{Action: Pending, Info: nix.PathInfo{Path: nix.StorePath(name), NARSize: size, References: refs}}
	}
	// row1 to row4 refer to each other, small and large to nothing.
	outs := []Outcome{
		out("row1", 10), out("row2", 10, "row1"), out("row3", 10, "row2"), out("row4", 10, "row3"),
		out("small", 1000), out("large", 5*step), out("top", 10, "row4", "small", "large"),
	}
	for _, early := range []bool{false, true} {
		s := newSchedule(nil, nil, new(Progress))
		if early {
			s.offer([]nix.PathInfo{outs[4].Info, outs[2].Info, outs[0].Info})
		}
		s.follow(slices.Clone(outs))
		var order []nix.StorePath
		for j := pop(&s.large); j != nil; j = pop(&s.large) {
			order = append(order, j.path.Path)
		}
		want := []nix.StorePath{"large", "row1", "row2", "row3", "small", "row4", "top"}
		if !slices.Equal(order, want) {
			t.Errorf("early %v: the order is %v", early, order)
		}
	}
}
