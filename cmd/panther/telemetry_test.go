package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"

	"gitlab.com/pantheros/pantheros/cmd/panther/trace/tracetest"
	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// pantherWith runs panther with more in its environment.
func (c *checkout) pantherWith(t *testing.T, env []string, args ...string) result {
	t.Helper()
	cmd := c.command(t.Context(), args...)
	cmd.Env = append(cmd.Env, env...)
	return finish(t, cmd)
}

// A run is sent as a trace, below its parent, with the report's own times and
// no secret. The stored report gives the same trace again.
func TestTrace(t *testing.T) {
	const traceID, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	r := tracetest.New(t)
	c := newFleet(t)
	c.configure(t, "beta", `{ script = "echo 'cc: bad input' >&2; exit 3"; }`)
	env := []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + r.URL,
		"OTEL_EXPORTER_OTLP_HEADERS=authorization=s3cr3t",
		"TRACEPARENT=00-" + traceID + "-" + parent + "-01",
	}
	run := c.pantherWith(t, env, "build-all").want(t, 1)
	contains(t, run.stderr, "panther: the trace of the run is "+traceID)
	rep, got := c.report(t), r.Received(t)

	ids := map[string]*otlp.Span{}
	for _, s := range got.Spans {
		if fmt.Sprintf("%x", s.TraceId) != traceID {
			t.Errorf("%s is of the trace %x", s.Name, s.TraceId)
		}
		ids[fmt.Sprintf("%x", s.SpanId)] = s
	}
	spans := map[string]*otlp.Span{} // by the names from the run's on
	for _, s := range ids {
		way := s.Name
		for p := fmt.Sprintf("%x", s.ParentSpanId); p != parent; p = fmt.Sprintf("%x", ids[p].ParentSpanId) {
			if ids[p] == nil {
				t.Fatalf("%s has no parent", way)
			}
			way = ids[p].Name + "/" + way
		}
		spans[way] = s
	}
	check := func(way string, began time.Time, seconds float64, status report.Status) {
		t.Helper()
		s := spans["BUILD testfleet"+way]
		if s == nil {
			t.Errorf("no span %s", way)
			return
		}
		took := time.Duration(s.EndTimeUnixNano - s.StartTimeUnixNano)
		if int64(s.StartTimeUnixNano) != began.UnixNano() || (took-time.Duration(seconds*1e9)).Abs() > time.Millisecond {
			t.Errorf("%s: %d for %s, the report has %s for %g s", way, s.StartTimeUnixNano, took, began, seconds)
		}
		if failed := s.Status.Code == otlp.Status_STATUS_CODE_ERROR; failed != (status != report.Passed) {
			t.Errorf("%s: status %v, the report has %s", way, s.Status, status)
		}
	}
	check("", rep.Run.Started, rep.Run.Seconds, rep.Status)
	check("/push", rep.Push.Started, rep.Push.Seconds, rep.Push.Status)
	for _, k := range rep.Checks {
		if k.Host == "" {
			check("/check "+k.Name, k.Started, k.Seconds, k.Status)
		}
	}
	for _, h := range rep.Hosts {
		for _, s := range h.Steps {
			if s.Status != report.Skipped {
				check("/host "+h.Name+"/"+s.Name, s.Started, s.Seconds, s.Status)
			}
		}
	}
	for _, a := range rep.Activities {
		check("/host "+a.Host+"/build/build "+report.PathName(a.Path), a.Started, a.Seconds, a.Status)
	}
	if len(rep.Activities) < 4 {
		t.Errorf("%d derivations were built", len(rep.Activities))
	}
	for _, secret := range []string{"s3cr3t", secretOf(t, c)} {
		if strings.Contains(got.Raw, secret) || strings.Contains(run.stdout+run.stderr, secret) {
			t.Error("a secret is in the trace or was printed")
		}
	}

	c.pantherWith(t, env, "report", "out/report", "--otlp").want(t, 0)
	again := r.Received(t).Spans[len(got.Spans):]
	if !slices.EqualFunc(got.Spans, again, func(x, y *otlp.Span) bool { return string(x.SpanId) == string(y.SpanId) && x.Name == y.Name }) {
		t.Errorf("%d spans of the run, then %d others", len(got.Spans), len(again))
	}
}

// secretOf is the secret part of the key that build-all made.
func secretOf(t *testing.T, c *checkout) string {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(c.dir, ".panther/cache-key"))
	if err != nil {
		t.Fatal(err)
	}
	_, secret, _ := strings.Cut(strings.TrimSpace(string(key)), ":")
	return secret
}

// A receiver that is down, silent or cannot be meant is one line on standard
// error: the run ends as it would have.
func TestTraceNowhere(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	c := newFleet(t)
	for endpoint, want := range map[string]string{
		"http://127.0.0.1:9":                "connection refused",
		"http://" + silent.Addr().String():  "no answer in time",
		"collector.example":                 "is no address like",
		"http://collector.example.invalid/": "sending to http://collector.example.invalid",
	} {
		r := c.pantherWith(t, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + endpoint}, "check", "alpha", "--quiet").want(t, 0)
		if !strings.HasPrefix(r.stderr, "panther: the trace of the run: ") || !strings.Contains(r.stderr, want) || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("%s: %s", endpoint, r.stderr)
		}
	}
	stored, err := filepath.Abs("../../pipeline/report/testdata/green")
	if err != nil {
		t.Fatal(err)
	}
	contains(t, c.panther(t, "report", stored, "--otlp").want(t, 4).stderr, "--otlp: no endpoint is set: OTEL_EXPORTER_OTLP_ENDPOINT")
}
