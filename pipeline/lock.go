package pipeline

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/pipeline/inventory"
	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// maxLocked bounds the inputs that a report lists.
const maxLocked = 200

// lockedInputs are the flake's own inputs as flake.lock pins them; nil where
// there is no lock file, or one that Nix has to judge.
func lockedInputs(inv *inventory.Inventory) []report.LockedInput {
	data, err := os.ReadFile(filepath.Join(filepath.Dir(inv.Path), "flake.lock"))
	if err != nil {
		return nil
	}
	var lock struct {
		Nodes map[string]struct {
			Inputs map[string]any
			Locked struct {
				Type, Owner, Repo, URL, Path, Rev, Ref string
				LastModified                           int64
			}
		}
		Root string
	}
	if json.Unmarshal(data, &lock) != nil {
		return nil
	}
	var list []report.LockedInput
	for name, target := range lock.Nodes[lock.Root].Inputs {
		// A list is the path to an input of another input, which has its own row.
		key, ok := target.(string)
		node, known := lock.Nodes[key]
		if !ok || !known || len(list) >= maxLocked {
			continue
		}
		l := node.Locked
		in := report.LockedInput{Name: name, Revision: l.Rev, Source: l.URL + l.Path}
		if l.Owner != "" {
			in.Source = fmt.Sprintf("%s:%s/%s", l.Type, l.Owner, l.Repo)
		}
		const year10000 = 253402300800
		if 0 < l.LastModified && l.LastModified < year10000 {
			in.Modified = time.Unix(l.LastModified, 0).UTC()
		}
		list = append(list, in)
	}
	slices.SortFunc(list, func(a, b report.LockedInput) int { return strings.Compare(a.Name, b.Name) })
	return list
}
