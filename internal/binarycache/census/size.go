package census

// Closure is the closure of paths as far as it is in the cache, each path once.
func (c *Census) Closure(from []ID) []ID {
	seen := make([]bool, len(c.Paths))
	stack := append([]ID(nil), from...)
	var closure []ID
	for len(stack) > 0 {
		id := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[id] || !c.Paths[id].Good() {
			continue
		}
		seen[id] = true
		closure = append(closure, id)
		stack = append(stack, c.Paths[id].References...)
	}
	return closure
}

// Sizes of a set of paths, in bytes.
type Sizes struct {
	Paths  int
	NARs   int64 // uncompressed, each path's
	Stored int64 // objects of NARs as they are in the cache, each once
	// Shared is what is saved by NARs that several of the paths have: the size
	// of their objects for each path but the first.
	Shared int64
	// Packed are the uncompressed NARs of which Stored is the size, each once.
	Packed int64
}

// Sizes adds up paths.
func (c *Census) Sizes(paths []ID) (s Sizes) {
	met := make(map[string]bool, len(paths))
	for _, id := range paths {
		p := &c.Paths[id]
		s.Paths++
		s.NARs += p.NARSize
		key, inside := p.NAR()
		if !inside {
			continue
		}
		object, there := c.Object(key)
		switch {
		case !there:
		case met[key]:
			s.Shared += object.Size
		default:
			met[key] = true
			s.Stored += object.Size
			s.Packed += p.NARSize
		}
	}
	return s
}
