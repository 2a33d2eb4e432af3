package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// byteSize is a flag's number of bytes, such as 20GiB, 500MB or 4096.
type byteSize int64

var byteUnits = []struct {
	suffix string
	factor float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
	{"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {"T", 1 << 40}, {"B", 1},
}

// Set reads a size.
func (s *byteSize) Set(text string) error {
	number, factor := strings.TrimSpace(text), 1.0
	for _, u := range byteUnits {
		if n, ok := strings.CutSuffix(number, u.suffix); ok {
			number, factor = strings.TrimSpace(n), u.factor
			break
		}
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(f) || f <= 0 || f*factor >= math.MaxInt64 || f*factor < 1 {
		return fmt.Errorf("%q is no size such as 20GiB, 500MB or 4096", text)
	}
	*s = byteSize(f * factor)
	return nil
}

// String is the size for people.
func (s *byteSize) String() string {
	if *s == 0 {
		return ""
	}
	for i := 3; i >= 0; i-- {
		if u := byteUnits[i]; int64(*s)%int64(u.factor) == 0 {
			return strconv.FormatInt(int64(*s)/int64(u.factor), 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(*s), 10)
}

// Type is for help texts.
func (s *byteSize) Type() string { return "size" }
