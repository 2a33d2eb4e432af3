package pipeline_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gitlab.com/pantheros/pantheros/pipeline"
	"gitlab.com/pantheros/pantheros/pipeline/report"
)

func TestRunPush(t *testing.T) {
	const failed = "failed: evaluate passed build passed push failed"
	tests := []struct {
		name    string
		push    func(c pipeline.Command) (pipeline.Output, error)
		want    []string
		message string // of beta's failure
	}{
		{
			name: "it fails before it has a plan",
			push: func(c pipeline.Command) (pipeline.Output, error) {
				c.OnStderr("pcache: the key file is readable by others")
				return pipeline.Output{ExitCode: 1}, nil
			},
			want:    []string{"run failed", "alpha " + failed, "beta " + failed},
			message: "pcache: the key file is readable by others",
		},
		{
			name: "it fails and says so in its report",
			push: func(c pipeline.Command) (pipeline.Output, error) {
				out, err := stdout(strings.Replace(pushed(c, report.Failed, false), `"skipped"`, `"error":"no space left","skipped"`, 1))
				out.ExitCode = 1
				return out, err
			},
			want:    []string{"run failed", "alpha " + failed, "beta " + failed},
			message: "no space left",
		},
		{
			name: "the next one fails",
			push: func(c pipeline.Command) (pipeline.Output, error) {
				if pushes(c, "alpha") {
					return usual(c)
				}
				out, err := stdout(strings.Replace(pushed(c, report.Failed, false), `"skipped"`, `"error":"no space left","skipped"`, 1))
				out.ExitCode = 1
				return out, err
			},
			want:    []string{"run failed", "alpha passed: evaluate passed build passed push passed", "beta " + failed},
			message: "no space left",
		},
		{
			name: "it claims success and ends with an error",
			push: func(c pipeline.Command) (pipeline.Output, error) {
				out, err := stdout(pushed(c, report.Passed, false))
				out.ExitCode = 7
				return out, err
			},
			want:    []string{"run failed", "alpha " + failed, "beta " + failed},
			message: "pcache push says that it passed but ended with code 7: ",
		},
		{
			name:    "it prints nothing",
			push:    func(pipeline.Command) (pipeline.Output, error) { return pipeline.Output{}, nil },
			want:    []string{"run failed", "alpha " + failed, "beta " + failed},
			message: "pcache push: read push result: ",
		},
		{
			name: "it cannot be run",
			push: func(pipeline.Command) (pipeline.Output, error) {
				return pipeline.Output{}, errors.New("pcache was not found")
			},
			want:    []string{"run failed", "alpha " + failed, "beta " + failed},
			message: "pcache was not found",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inv, dir := newFleet(t, "alpha", "beta")
			alphaFirst := afterPushOf("alpha", func(c pipeline.Command) bool { return c.Host == "beta" })
			rep, err := run(t.Context(), t, pipeline.Config{
				Shell: &script{answer: func(ctx context.Context, c pipeline.Command) (pipeline.Output, error, bool) {
					if !starts("pcache")(c) {
						return alphaFirst(ctx, c)
					}
					out, err := tt.push(c)
					alphaFirst(ctx, c)
					return out, err, true
				}},
				Inventory: inv, FlakeDir: dir, Scope: pipeline.ScopePush, Inputs: pipeline.InputsOffline, Cache: "file:///cache",
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, outcomes(rep)); diff != "" {
				t.Errorf("outcomes (-want +got):\n%s", diff)
			}
			if f := host(t, rep, "beta").Failure; f == nil || !strings.HasPrefix(f.Message, strings.TrimSpace(tt.message)) {
				t.Errorf("failure %+v, want a message that starts with %q", f, tt.message)
			}
		})
	}
}

// A push of several hosts that publishes one and fails in the next fails those
// that it did not publish.
func TestRunPushHalfway(t *testing.T) {
	inv, dir := newFleet(t, "alpha", "beta", "gamma", "last")
	together := batched("alpha", "last")
	rep, err := run(t.Context(), t, pipeline.Config{
		Shell: &script{answer: func(ctx context.Context, c pipeline.Command) (pipeline.Output, error, bool) {
			out, err, handled := together(ctx, c)
			if pushes(c, "gamma") {
				text := strings.Replace(pushed(c, report.Failed, false), `"generation":""`, `"generation":"7"`, 1)
				out, err := stdout(strings.Replace(text, `"skipped"`, `"error":"no space left","skipped"`, 1))
				out.ExitCode = 1
				return out, err, true
			}
			return out, err, handled
		}},
		Inventory: inv, FlakeDir: dir, Scope: pipeline.ScopePush, Jobs: 1, Inputs: pipeline.InputsOffline, Cache: "file:///cache",
	})
	if err != nil {
		t.Fatal(err)
	}
	const good = " passed: evaluate passed build passed push passed"
	if diff := cmp.Diff([]string{
		"run failed", "alpha" + good, "beta" + good, "gamma failed: evaluate passed build passed push failed", "last" + good,
	}, outcomes(rep)); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	if f := host(t, rep, "gamma").Failure; f == nil || f.Message != "no space left" {
		t.Errorf("failure %+v", f)
	}
	if rep.Push.Status != report.Failed || rep.Push.Error != "no space left" || len(rep.Push.Roots) != 4 {
		t.Errorf("push %+v", rep.Push)
	}
}

// What an interrupted push could still say is in the report.
func TestRunPushInterrupted(t *testing.T) {
	inv, dir := newFleet(t, "alpha")
	ctx, cancel := context.WithCancel(t.Context())
	rep, err := run(ctx, t, pipeline.Config{
		Shell: &script{answer: func(_ context.Context, c pipeline.Command) (pipeline.Output, error, bool) {
			if !starts("pcache")(c) {
				return pipeline.Output{}, nil, false
			}
			cancel()
			out, _ := stdout(pushed(c, report.Interrupted, false))
			return out, context.Canceled, true
		}},
		Inventory: inv, FlakeDir: dir, Scope: pipeline.ScopePush, Inputs: pipeline.InputsOffline, Cache: "file:///cache",
	})
	if !errors.Is(err, pipeline.ErrInterrupted) {
		t.Errorf("error %v", err)
	}
	if rep.Push == nil || rep.Push.Sent.Paths != 2 || rep.Push.Status != report.Interrupted {
		t.Errorf("push %+v, want what was sent until then", rep.Push)
	}
	if got := host(t, rep, "alpha").Status; got != report.Interrupted {
		t.Errorf("alpha %s", got)
	}
}
