package report

import (
	"fmt"
	"math"
	"strconv"
)

const mebibyte = 1 << 20

// mib renders a size in MiB with one decimal, always, so that reports can be
// compared line by line. What is there but too small for that is "<0.1 MiB".
func mib(bytes int64) string {
	switch t := tenths(bytes); {
	case bytes <= 0:
		return "0 MiB"
	case t == 0:
		return "<0.1 MiB"
	default:
		return fmt.Sprintf("%d.%d MiB", t/10, t%10)
	}
}

// growth renders a difference of sizes with its sign, which it also has where
// it is too small to show: "+0.0 MiB".
func growth(bytes int64) string {
	if bytes == 0 {
		return "0 MiB"
	}
	sign, t := "+", tenths(bytes)
	if bytes < 0 {
		sign = "-"
	}
	return fmt.Sprintf("%s%d.%d MiB", sign, t/10, t%10)
}

// tenths is the magnitude of bytes in tenths of a MiB, rounded.
func tenths(bytes int64) uint64 {
	n := magnitude(bytes)
	return n/mebibyte*10 + (n%mebibyte*10+mebibyte/2)/mebibyte
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

// duration renders seconds in the one or two units that matter.
func duration(seconds float64) string {
	if math.IsNaN(seconds) || seconds < 0 {
		return "?"
	}
	const century = 100 * 365 * 24 * 3600
	if seconds > century {
		return "over a century"
	}
	if ms := math.Round(seconds * 1000); ms < 1000 {
		return strconv.Itoa(int(ms)) + " ms"
	}
	if tenths := math.Round(seconds * 10); tenths < 600 {
		return strconv.FormatFloat(tenths/10, 'f', 1, 64) + " s"
	}
	s := int64(math.Round(seconds))
	if s < 3600 {
		return fmt.Sprintf("%d min %02d s", s/60, s%60)
	}
	m := (s + 30) / 60
	return fmt.Sprintf("%d h %02d min", m/60, m%60)
}

// count renders a number of things; plural is the noun with an s.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
