package page

// cell is a rectangle of a treemap, in shares of the whole.
type cell struct{ X, Y, W, H float64 }

// squarify lays rectangles of the given weights, which must be positive and
// descending, into a box of that width and height, each as near to a square as
// a greedy choice makes it: rows are filled along the shorter side for as long
// as that makes their worst rectangle better (Bruls, Huizing, van Wijk:
// "Squarified Treemaps", 2000). The result is in shares of the box.
func squarify(weights []float64, width, height float64) []cell {
	total := 0.0
	for _, w := range weights {
		total += w
	}
	cells := make([]cell, 0, len(weights))
	if total <= 0 {
		return cells
	}
	scale := width * height / total
	x, y, w, h := 0.0, 0.0, width, height
	for i := 0; i < len(weights); {
		side := min(w, h)
		sum, n := 0.0, 0
		worst := -1.0
		for i+n < len(weights) {
			next := sum + weights[i+n]*scale
			ratio := worstRatio(weights[i]*scale, weights[i+n]*scale, next, side)
			if worst >= 0 && ratio > worst {
				break
			}
			worst, sum = ratio, next
			n++
		}
		depth := sum / side
		at := 0.0
		for _, weight := range weights[i : i+n] {
			length := weight * scale / depth
			if w >= h {
				cells = append(cells, cell{x / width, (y + at) / height, depth / width, length / height})
			} else {
				cells = append(cells, cell{(x + at) / width, y / height, length / width, depth / height})
			}
			at += length
		}
		if w >= h {
			x, w = x+depth, w-depth
		} else {
			y, h = y+depth, h-depth
		}
		i += n
	}
	return cells
}

// worstRatio is the longest side to the shortest of the largest and the
// smallest rectangle of a row of that area along a side.
func worstRatio(largest, smallest, sum, side float64) float64 {
	s2, w2 := sum*sum, side*side
	return max(w2*largest/s2, s2/(w2*smallest))
}
