package page

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/pipeline/report"
)

const nbsp = "\u00a0" // a number and its unit stay on one line

// size writes bytes in the unit that gives one to three digits before the
// point.
func size(bytes int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	v, u := math.Abs(float64(bytes)), 0
	for v >= 999.5 && u < len(units)-1 {
		v /= 1024
		u++
	}
	sign := ""
	if bytes < 0 {
		sign = "\u2212"
	}
	switch {
	case u == 0:
		return sign + strconv.FormatFloat(v, 'f', 0, 64) + nbsp + "B"
	case v < 99.95:
		return sign + strconv.FormatFloat(v, 'f', 1, 64) + nbsp + units[u]
	}
	return sign + strconv.FormatFloat(v, 'f', 0, 64) + nbsp + units[u]
}

// growth is size with its sign, "±0" if there is none.
func growth(bytes int64) string {
	switch {
	case bytes == 0:
		return "\u00b10"
	case bytes > 0:
		return "+" + size(bytes)
	}
	return size(bytes)
}

// number writes n with thin spaces between thousands.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

// pct is a share of one as an attribute of SVG, with what a wide screen can
// show.
func pct(share float64) string {
	if math.IsNaN(share) {
		share = 0
	}
	return strconv.FormatFloat(min(max(share, 0), 1)*100, 'f', 2, 64) + "%"
}

func percent(share float64) string {
	switch p := share * 100; {
	case p == 0 || p == 100:
		return fmt.Sprintf("%.0f\u00a0%%", p)
	case p < 0.1:
		return "<0.1\u00a0%"
	case p > 99.9:
		return ">99.9\u00a0%"
	case p < 10 || p > 90:
		return strconv.FormatFloat(p, 'f', 1, 64) + nbsp + "%"
	default:
		return fmt.Sprintf("%.0f\u00a0%%", p)
	}
}

// duration is report.Duration in one piece.
func duration(seconds float64) string {
	return strings.ReplaceAll(report.Duration(seconds), " ", nbsp)
}

func instant(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") }

func day(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02")
}

// minute is a time as it stands in tables.
func minute(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04")
}
