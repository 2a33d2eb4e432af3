package trace

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.40.0"
	"go.opentelemetry.io/otel/trace"

	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// Attributes of our own, for what the semantic conventions have no name for.
const (
	keyHost         = attribute.Key("pantheros.host")
	keyInputs       = attribute.Key("pantheros.inputs")
	keyNixVersion   = attribute.Key("nix.version")
	keyCache        = attribute.Key("pantheros.cache")
	keyToplevel     = attribute.Key("nix.toplevel")
	keyDerivation   = attribute.Key("nix.derivation")
	keyStorePath    = attribute.Key("nix.store_path")
	keyFrom         = attribute.Key("nix.from")
	keyClosurePaths = attribute.Key("nix.closure.paths")
	keyClosureBytes = attribute.Key("nix.closure.nar_bytes")
	keyBuilt        = attribute.Key("nix.derivations.built")
	keyFetched      = attribute.Key("nix.paths.fetched")
	keyFetchedBytes = attribute.Key("nix.paths.fetched_bytes")
	keySentPaths    = attribute.Key("pantheros.sent.paths")
	keySentBytes    = attribute.Key("pantheros.sent.file_bytes")
	keyPushPaths    = attribute.Key("pantheros.push.paths")
	keyDetail       = attribute.Key("pantheros.detail")
)

// tree makes the spans of a report:
//
//	BUILD <fleet>
//	├── check <name>
//	├── host <name>
//	│   ├── evaluate
//	│   ├── build
//	│   │   ├── build <derivation>
//	│   │   └── fetch <path>
//	│   └── push
//	└── push
type tree struct {
	*report.Report
	Options
	tracer trace.Tracer
}

// run makes all spans, that of the run below parent, and returns the trace's id.
func (t *tree) run(parent context.Context) trace.TraceID {
	action := semconv.CICDPipelineActionNameBuild
	if t.Command == "check" {
		action = semconv.CICDPipelineActionNameRun
	}
	run := &t.Run
	ctx, span := t.start(parent, action.Value.AsString()+" "+run.Fleet, run.Started,
		semconv.CICDPipelineName(strings.TrimSpace("panther "+t.Command)), action,
		semconv.CICDPipelineRunID(run.Started.UTC().Format(time.RFC3339Nano)),
		keyInputs.String(run.Inputs), keyNixVersion.String(run.NixVersion), keyCache.String(run.Cache),
	)
	if run.Commit != "" {
		span.SetAttributes(semconv.VCSRefHeadRevision(strings.TrimSuffix(run.Commit, "+dirty")))
	}
	outcome(span, semconv.CICDPipelineResultKey, t.Status, "", cmp.Or(run.Error, t.hostsFailed()))
	for i := range t.Checks {
		t.check(ctx, &t.Checks[i])
	}
	byHost := map[string][]*report.Activity{}
	for i := range t.Activities {
		a := &t.Activities[i]
		byHost[a.Host] = append(byHost[a.Host], a)
	}
	for i := range t.Hosts {
		t.host(ctx, &t.Hosts[i], byHost[t.Hosts[i].Name])
	}
	if t.Push != nil {
		t.push(ctx, t.Push)
	}
	end(span, run.Started, run.Seconds)
	return span.SpanContext().TraceID()
}

// hostsFailed says how many hosts failed, if any.
func (t *tree) hostsFailed() string {
	n := 0
	for i := range t.Hosts {
		if t.Hosts[i].Status == report.Failed {
			n++
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %s failed", n, report.Plural(len(t.Hosts), "host"))
}

// check makes the span of a check that has a time of its own: those of a host
// are answered by its evaluation.
func (t *tree) check(ctx context.Context, c *report.Check) {
	if c.Started.IsZero() || c.Host != "" {
		return
	}
	_, span := t.task(ctx, "check "+c.Name, c.Started, semconv.CICDPipelineTaskTypeTest, keyDetail.String(c.Detail))
	outcome(span, semconv.CICDPipelineTaskRunResultKey, c.Status, "check", c.Detail)
	end(span, c.Started, c.Seconds)
}

// host makes the spans of a host that was begun.
func (t *tree) host(ctx context.Context, h *report.Host, did []*report.Activity) {
	var began, ended time.Time
	for _, s := range h.Steps {
		if s.Started.IsZero() {
			continue
		}
		if began.IsZero() || s.Started.Before(began) {
			began = s.Started
		}
		if e := after(s.Started, s.Seconds); e.After(ended) {
			ended = e
		}
	}
	if began.IsZero() {
		return
	}
	ctx, span := t.task(ctx, "host "+h.Name, began, semconv.CICDPipelineTaskTypeBuild,
		keyHost.String(h.Name), keyDerivation.String(h.DrvPath), keyToplevel.String(h.Toplevel))
	if h.Closure != nil {
		span.SetAttributes(keyClosurePaths.Int(h.Closure.Paths), keyClosureBytes.Int64(h.Closure.NARBytes),
			keySentPaths.Int(h.Sent.Paths), keySentBytes.Int64(h.Sent.FileBytes))
	}
	var step, message string
	if h.Failure != nil {
		step, message = h.Failure.Step, h.Failure.Message
	}
	outcome(span, semconv.CICDPipelineTaskRunResultKey, h.Status, step, message)
	for _, s := range h.Steps {
		if s.Started.IsZero() {
			continue
		}
		kind := semconv.CICDPipelineTaskTypeBuild
		switch s.Name {
		case report.StepEvaluate:
			kind = semconv.CICDPipelineTaskTypeTest
		case report.StepPush:
			kind = semconv.CICDPipelineTaskTypeDeploy
		}
		in, child := t.task(ctx, s.Name, s.Started, kind, keyHost.String(h.Name), keyDetail.String(s.Detail))
		reason := s.Detail
		if step == s.Name {
			reason = message
		}
		outcome(child, semconv.CICDPipelineTaskRunResultKey, s.Status, s.Name, reason)
		if s.Name == report.StepBuild {
			if w := h.Work; w != nil {
				child.SetAttributes(keyBuilt.Int(w.Built), keyFetched.Int(w.Fetched), keyFetchedBytes.Int64(w.FetchedBytes))
			}
			for _, a := range did {
				t.activity(in, a)
			}
		}
		end(child, s.Started, s.Seconds)
	}
	span.End(trace.WithTimestamp(ended))
}

// activity makes the span of a derivation that was built or a path that was
// fetched.
func (t *tree) activity(ctx context.Context, a *report.Activity) {
	key := keyStorePath
	if a.Kind == report.ActivityBuild {
		key = keyDerivation
	}
	_, span := t.start(ctx, a.Kind+" "+report.PathName(a.Path), a.Started, keyHost.String(a.Host), key.String(a.Path), keyFrom.String(a.From))
	outcome(span, semconv.CICDPipelineTaskRunResultKey, a.Status, a.Kind, "")
	end(span, a.Started, a.Seconds)
}

// push makes the span of the run's push as a whole.
func (t *tree) push(ctx context.Context, p *report.Push) {
	_, span := t.task(ctx, "push", p.Started, semconv.CICDPipelineTaskTypeDeploy,
		keyCache.String(p.Cache), keyPushPaths.Int(len(p.Paths)), keySentPaths.Int(p.Sent.Paths), keySentBytes.Int64(p.Sent.FileBytes))
	outcome(span, semconv.CICDPipelineTaskRunResultKey, p.Status, "push", p.Error)
	end(span, p.Started, p.Seconds)
}

// task starts a span of a task of the pipeline.
func (t *tree) task(ctx context.Context, name string, began time.Time, kind attribute.KeyValue, attrs ...attribute.KeyValue) (context.Context, trace.Span) {
	return t.start(ctx, name, began, append(attrs, semconv.CICDPipelineTaskName(name), kind)...)
}

// start starts a span at a time. Attributes that are empty strings say nothing
// and are left out.
func (t *tree) start(ctx context.Context, name string, began time.Time, attrs ...attribute.KeyValue) (context.Context, trace.Span) {
	var said []attribute.KeyValue
	for _, a := range attrs {
		if a.Value.Type() != attribute.STRING || a.Value.AsString() != "" {
			said = append(said, a)
		}
	}
	return t.tracer.Start(ctx, name, trace.WithTimestamp(began), trace.WithAttributes(said...))
}

func end(span trace.Span, began time.Time, seconds float64) {
	span.End(trace.WithTimestamp(after(began, seconds)))
}

func after(began time.Time, seconds float64) time.Time {
	return began.Add(time.Duration(seconds * float64(time.Second)))
}

// outcome sets a span's result, and its error where it has one. step is what
// failed.
func outcome(span trace.Span, key attribute.Key, s report.Status, step, message string) {
	switch s {
	case report.Passed:
		span.SetAttributes(key.String("success"))
		span.SetStatus(codes.Ok, "")
	case report.Skipped:
		span.SetAttributes(key.String("skip"))
	case report.Interrupted:
		span.SetAttributes(key.String("cancellation"))
		if message == "" {
			message = "interrupted"
		}
		span.SetStatus(codes.Error, message)
	default:
		kind := "failed"
		if step != "" {
			kind = step + "_failed"
		}
		span.SetAttributes(key.String("failure"), semconv.ErrorTypeKey.String(kind))
		span.SetStatus(codes.Error, message)
	}
}
