package main

import (
	"context"
	"time"

	"gitlab.com/pantheros/pantheros/cmd/panther/trace"
	"gitlab.com/pantheros/pantheros/pipeline"
	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// How long a receiver of traces is waited for: at the end of a run, of one that
// is to stop, and where nothing else was asked for.
const (
	traceAfterRun  = 5 * time.Second
	traceAfterStop = 300 * time.Millisecond
	traceAlone     = time.Minute
)

// trace sends the report of a run that has ended as an OpenTelemetry trace,
// where the environment names an endpoint. All that matters is written by then:
// what goes wrong is one line, and changes nothing.
func (a *app) trace(ctx context.Context, rep *report.Report, o options) {
	if !trace.Wanted() {
		return
	}
	limit := traceAfterRun
	if ctx.Err() != nil {
		ctx, limit = context.WithoutCancel(ctx), traceAfterStop
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	command := map[pipeline.Scope]string{pipeline.ScopeCheck: "check", pipeline.ScopeBuild: "build", pipeline.ScopePush: "build-all"}[o.scope]
	sent, err := sendTrace(ctx, rep, command)
	switch {
	case err != nil:
		a.tellf("the trace of the run: %v", err)
	case sent.Spans > 0 && !a.quiet:
		a.tellf("the trace of the run is %s, %d spans", sent.TraceID, sent.Spans)
	}
}

// sendTrace sends a stored report, of which it is not known which command made
// it: those that are kept are build-all's.
func (a *app) sendTrace(ctx context.Context, rep *report.Report) error {
	ctx, cancel := context.WithTimeout(ctx, traceAlone)
	defer cancel()
	sent, err := sendTrace(ctx, rep, "build-all")
	if err != nil {
		return environmentError("--otlp: %v", err)
	}
	if !a.quiet {
		a.tellf("trace %s, %d spans", sent.TraceID, sent.Spans)
	}
	return nil
}

func sendTrace(ctx context.Context, rep *report.Report, command string) (trace.Sent, error) {
	version, _ := built()
	return trace.Send(ctx, rep, trace.Options{Command: command, Version: version})
}
