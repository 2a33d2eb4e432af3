package report

import (
	"errors"
	"fmt"
	"math"
	"strconv"
)

// BuildGoal is the share of builds that should succeed, the owner's goal.
const BuildGoal = 0.95

// Limits say how much worse a host may get from one run to the next before it
// is called a regression.
type Limits struct {
	// Growth is the share by which a closure may grow: 0.1 is a tenth.
	Growth float64 `json:"growth"`
	// Slowdown is how many times as long a step may take: 2 is twice as long.
	Slowdown float64 `json:"slowdown"`
	// LeastSeconds is what a step must take longer at least to count: short
	// steps vary by more than twice for no reason.
	LeastSeconds float64 `json:"least_seconds"`
}

// String says what is allowed, without a full stop.
func (l Limits) String() string {
	return fmt.Sprintf("a closure may be %s %% larger, a step less than %s times as long or less than %s longer",
		strconv.FormatFloat(l.Growth*100, 'f', -1, 64), strconv.FormatFloat(l.Slowdown, 'f', -1, 64), duration(l.LeastSeconds))
}

func (l Limits) validate() error {
	for _, n := range []float64{l.Growth, l.Slowdown, l.LeastSeconds} {
		if math.IsNaN(n) || n < 0 || n > maxSeconds {
			return errors.New("limits: a number out of range")
		}
	}
	return nil
}

// DefaultLimits are those of Compare.
var DefaultLimits = Limits{Growth: 0.1, Slowdown: 2, LeastSeconds: 30}

// Kinds of Regression.
const (
	RegressionClosure = "closure" // the closure grew by more than a share
	RegressionStep    = "step"    // a step took much longer
)

// Regression is what got worse for a host since the previous report by more
// than is allowed.
type Regression struct {
	Host          string  `json:"host"`
	Kind          string  `json:"kind"`
	Step          string  `json:"step,omitempty"`
	BeforeBytes   int64   `json:"before_bytes,omitempty"`
	AfterBytes    int64   `json:"after_bytes,omitempty"`
	BeforeSeconds float64 `json:"before_seconds,omitempty"`
	AfterSeconds  float64 `json:"after_seconds,omitempty"`
}

// String is the regression in a sentence without a full stop.
func (g Regression) String() string {
	if g.Kind == RegressionClosure {
		share := float64(g.AfterBytes-g.BeforeBytes) / float64(max(g.BeforeBytes, 1))
		return fmt.Sprintf("the closure of %s grew by %.0f %%, from %s to %s", clean(g.Host), share*100, mib(g.BeforeBytes), mib(g.AfterBytes))
	}
	return fmt.Sprintf("%s of %s took %.1f times as long, %s after %s",
		clean(g.Step), clean(g.Host), g.AfterSeconds/max(g.BeforeSeconds, 0.001), duration(g.AfterSeconds), duration(g.BeforeSeconds))
}

// Regressions lists what is worse in cur than in prev by more than the limits,
// by host, the closure before the steps. Only what both runs did to its end is
// compared: closures that both know, and steps that passed in both.
func (l Limits) Regressions(prev, cur *Report) []Regression {
	before := make(map[string]*Host, len(prev.Hosts))
	for i := range prev.Hosts {
		before[prev.Hosts[i].Name] = &prev.Hosts[i]
	}
	var list []Regression
	for i := range cur.Hosts {
		h := &cur.Hosts[i]
		p := before[h.Name]
		if p == nil {
			continue
		}
		if p.Closure != nil && h.Closure != nil && p.Closure.NARBytes > 0 &&
			float64(h.Closure.NARBytes) > float64(p.Closure.NARBytes)*(1+l.Growth) {
			list = append(list, Regression{
				Host: h.Name, Kind: RegressionClosure, BeforeBytes: p.Closure.NARBytes, AfterBytes: h.Closure.NARBytes,
			})
		}
		for _, s := range h.Steps {
			for _, was := range p.Steps {
				if s.Name == was.Name && s.Status == Passed && was.Status == Passed && l.slower(was.Seconds, s.Seconds) {
					list = append(list, Regression{
						Host: h.Name, Kind: RegressionStep, Step: s.Name, BeforeSeconds: was.Seconds, AfterSeconds: s.Seconds,
					})
				}
			}
		}
	}
	return list
}

func (l Limits) slower(before, after float64) bool {
	return after >= before*l.Slowdown && after-before >= l.LeastSeconds
}

func (g Regression) validate(what string) error {
	for _, s := range []float64{g.BeforeSeconds, g.AfterSeconds} {
		if err := validSeconds(what, s); err != nil {
			return err
		}
	}
	for _, b := range []int64{g.BeforeBytes, g.AfterBytes} {
		if err := validSize(what, b); err != nil {
			return err
		}
	}
	return nil
}
