package census

import (
	"context"
	"slices"
	"strings"

	"gitlab.com/pantheros/pantheros/internal/blob"
)

// Changes are what came to a cache, or was written anew, since its census.
type Changes struct {
	Paths []ID  // their narinfos
	Roots []int // manifests, as places in Census.Roots, and those with a new pin
	// Keys are all objects that came or were written anew.
	Keys map[string]bool
}

// Update lists the cache again and reads what has come to it or was written
// anew, apart from debug info and build traces. What has gone is no longer among
// Objects, and its path no longer listed.
//
// A store that tells times in whole seconds hides that an object was written
// twice within one.
func (c *Census) Update(ctx context.Context, store blob.Store, o Options) (Changes, error) {
	ch := Changes{Keys: make(map[string]bool)}
	before := c.objects
	now, err := listAll(ctx, store, o)
	if err != nil {
		return ch, err
	}
	c.objects = now
	var roots []*RootManifest
	for k := range numKinds {
		compare(before[k], now[k], func(was, is *Object) {
			if was != nil && is != nil && was.Size == is.Size && was.Modified.Equal(is.Modified) {
				return
			}
			if is != nil {
				ch.Keys[is.Key] = true
			}
			if k != NARInfo {
				return
			}
			object := was
			if is != nil {
				object = is
			}
			h, err := ParseHashPart(strings.TrimSuffix(object.Key, ".narinfo"))
			if err != nil {
				return // KindOf has looked at it
			}
			id := c.id(h, "")
			p := &c.Paths[id]
			*p = Path{Hash: p.Hash, Path: p.Path, Listed: is != nil}
			if is != nil {
				p.Size, p.Modified = int32(min(is.Size, 1<<30)), is.Modified.UnixNano()
				ch.Paths = append(ch.Paths, id)
			}
		})
	}
	for i := range c.Roots {
		m := &c.Roots[i]
		_, pinned := c.Object(PinKey(m.Key))
		if ch.Keys[m.Key] {
			m.Problem, m.Wants, m.Upstream, m.gone = nil, nil, nil, false
			roots = append(roots, m)
		}
		if ch.Keys[m.Key] || pinned && !m.Pinned {
			ch.Roots = append(ch.Roots, i)
		}
		m.Pinned = pinned
		delete(ch.Keys, m.Key)
	}
	var fresh []RootManifest
	for _, object := range now[Root] {
		if ch.Keys[object.Key] {
			fresh = append(fresh, c.manifest(object))
		}
	}
	roots = append(roots, pointers(fresh)...)
	if err := c.read(ctx, store, o, ch.Paths, roots, nil, nil); err != nil {
		return ch, err
	}
	for _, m := range fresh {
		if m.gone {
			continue
		}
		ch.Roots = append(ch.Roots, len(c.Roots))
		c.Roots = append(c.Roots, m)
	}
	ch.Roots = slices.DeleteFunc(ch.Roots, func(i int) bool { return c.Roots[i].gone })
	for _, i := range ch.Roots {
		ch.Keys[c.Roots[i].Key] = true
	}
	return ch, nil
}

// compare walks two sorted lists: both says what each has of a key, nil for
// nothing.
func compare(before, now []Object, both func(was, is *Object)) {
	for len(before) > 0 || len(now) > 0 {
		var was, is *Object
		order := 0
		switch {
		case len(before) == 0:
			order = 1
		case len(now) == 0:
			order = -1
		default:
			order = strings.Compare(before[0].Key, now[0].Key)
		}
		if order <= 0 {
			was, before = &before[0], before[1:]
		}
		if order >= 0 {
			is, now = &now[0], now[1:]
		}
		both(was, is)
	}
}
