package trace

import (
	"context"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"

	"gitlab.com/pantheros/pantheros/cmd/panther/trace/tracetest"
	"gitlab.com/pantheros/pantheros/pipeline/report"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// environment sets the variables that a test is about and no others of theirs.
func environment(t *testing.T, set map[string]string) {
	t.Helper()
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "OTEL_") || strings.HasPrefix(name, "TRACE") {
			t.Setenv(name, "")
		}
	}
	for name, value := range set {
		t.Setenv(name, value)
	}
}

func stored(t *testing.T, name string) *report.Report {
	t.Helper()
	rep, err := report.ReadFile(filepath.Join("../../../pipeline/report/testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// send sends a stored report to a receiver.
func send(t *testing.T, name string, more map[string]string) (Sent, tracetest.Received) {
	t.Helper()
	r := tracetest.New(t)
	set := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": r.URL}
	for k, v := range more {
		set[k] = v
	}
	environment(t, set)
	sent, err := Send(t.Context(), stored(t, name), Options{Command: "build-all", Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	got := r.Received(t)
	if len(got.Spans) != sent.Spans {
		t.Errorf("%d spans came of %d that were sent", len(got.Spans), sent.Spans)
	}
	return sent, got
}

// drawing is a trace as text: offsets and durations in seconds, results.
func drawing(spans []*otlp.Span, root []byte) string {
	children := map[string][]*otlp.Span{}
	for _, s := range spans {
		children[string(s.ParentSpanId)] = append(children[string(s.ParentSpanId)], s)
	}
	var b strings.Builder
	var zero uint64
	var draw func(id, indent string)
	draw = func(id, indent string) {
		for _, s := range children[id] {
			if zero == 0 {
				zero = s.StartTimeUnixNano
			}
			attrs := tracetest.Attributes(s.Attributes)
			fmt.Fprintf(&b, "%s%s %g+%g %s%s", indent, s.Name, float64(s.StartTimeUnixNano-zero)/1e9,
				float64(s.EndTimeUnixNano-s.StartTimeUnixNano)/1e9, attrs["cicd.pipeline.result"], attrs["cicd.pipeline.task.run.result"])
			if s.Status.Code == otlp.Status_STATUS_CODE_ERROR {
				fmt.Fprintf(&b, " error=%s: %s", attrs["error.type"], s.Status.Message)
			}
			b.WriteString("\n")
			draw(string(s.SpanId), indent+"  ")
		}
	}
	draw(string(root), "")
	return b.String()
}

// The spans of a run have its shape, its times, its outcomes and its reasons.
func TestSpans(t *testing.T) {
	sent, got := send(t, "build-failed/report.json", nil)
	want := `BUILD pantherOS 0+285 failure error=failed: 2 of 4 hosts failed
  host desktop 0+184.2 success
    evaluate 0+8 success
    build 8+30 success
    push 180+4.2 success
  host ovh-cloud-vps 38+146.2 success
    evaluate 38+8 success
    build 46+31 success
    push 180+4.2 success
  host yoga 77+104 failure error=build_failed: builder for niri-25.05 failed with exit code 101
    evaluate 77+9 success
    build 86+95 failure error=build_failed: builder for niri-25.05 failed with exit code 101
  host zephyrus 181+104 failure error=build_failed: builder for niri-25.05 failed with exit code 101
    evaluate 181+9 success
    build 190+95 failure error=build_failed: builder for niri-25.05 failed with exit code 101
  push 180+4.2 success
`
	if text := drawing(got.Spans, nil); text != want {
		t.Errorf("(-want +got):\n%s", cmp.Diff(want, text))
	}
	if hex.EncodeToString(got.Spans[0].TraceId) != sent.TraceID {
		t.Errorf("the trace is %x, said to be %s", got.Spans[0].TraceId, sent.TraceID)
	}
	for key, want := range map[string]string{
		"service.name": "panther", "service.version": "1.2.3", "telemetry.sdk.language": "go",
	} {
		if got.Resource[key] != want {
			t.Errorf("resource: %s is %q, want %q", key, got.Resource[key], want)
		}
	}
}

// A stored report of a real run: each activity is a span inside of its step,
// and sending it again gives the same trace.
func TestRealRun(t *testing.T) {
	rep := stored(t, "reports/run.json")
	sent, got := send(t, "reports/run.json", map[string]string{"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"})
	byID := map[string]*otlp.Span{}
	for _, s := range got.Spans {
		byID[string(s.SpanId)] = s
	}
	if len(byID) != len(got.Spans) {
		t.Errorf("%d ids for %d spans", len(byID), len(got.Spans))
	}
	activities, roots := 0, 0
	for _, s := range got.Spans {
		parent := byID[string(s.ParentSpanId)]
		if parent == nil {
			roots++
			continue
		}
		// Reports round to the millisecond.
		const slack = uint64(2 * time.Millisecond)
		if s.StartTimeUnixNano+slack < parent.StartTimeUnixNano || s.EndTimeUnixNano > parent.EndTimeUnixNano+slack {
			t.Errorf("%s is not within %s", s.Name, parent.Name)
		}
		if parent.Name == "build" {
			activities++
			if strings.ContainsAny(s.Name, "/") || tracetest.Attributes(s.Attributes)["nix.derivation"] == "" {
				t.Errorf("span %q: %v", s.Name, tracetest.Attributes(s.Attributes))
			}
		}
	}
	if roots != 1 || activities != len(rep.Activities) {
		t.Errorf("%d roots, %d activities of %d", roots, activities, len(rep.Activities))
	}
	again, _ := send(t, "reports/run.json", nil)
	if again != sent {
		t.Errorf("%+v at first, then %+v", sent, again)
	}
	if other, _ := send(t, "reports/first.json", nil); other.TraceID == sent.TraceID {
		t.Error("two reports are one trace")
	}
}

// The trace goes on that of TRACEPARENT, and follows its decision to sample.
func TestParent(t *testing.T) {
	const traceID, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	sent, got := send(t, "green/report.json", map[string]string{"TRACEPARENT": "00-" + traceID + "-" + parent + "-01"})
	if sent.TraceID != traceID || hex.EncodeToString(got.Spans[0].TraceId) != traceID {
		t.Errorf("trace %s", sent.TraceID)
	}
	id, _ := hex.DecodeString(parent)
	if text := drawing(got.Spans, id); !strings.HasPrefix(text, "BUILD pantherOS 0+") {
		t.Errorf("below the parent:\n%s", text)
	}
	if sent, _ := send(t, "green/report.json", map[string]string{"TRACEPARENT": "00-" + traceID + "-" + parent + "-00"}); sent.Spans != 0 {
		t.Errorf("%d spans, and the parent is not sampled", sent.Spans)
	}
	if sent, _ := send(t, "green/report.json", map[string]string{"TRACEPARENT": "nonsense"}); sent.Spans == 0 || sent.TraceID == traceID {
		t.Errorf("with a parent that is none: %+v", sent)
	}
}

// What OpenTelemetry's variables say goes: names, headers, the endpoint of
// traces alone. Headers stay out of the trace.
func TestVariables(t *testing.T) {
	r := tracetest.New(t)
	environment(t, map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT":        "http://127.0.0.1:9",
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": r.URL + "/v1/traces",
		"OTEL_EXPORTER_OTLP_HEADERS":         "authorization=Bearer%20s3cr3t,x-scope=night",
		"OTEL_SERVICE_NAME":                  "nightly",
		"OTEL_RESOURCE_ATTRIBUTES":           "deployment.environment.name=home",
	})
	if _, err := Send(t.Context(), stored(t, "green/report.json"), Options{}); err != nil {
		t.Fatal(err)
	}
	got := r.Received(t)
	if got.Headers[0].Get("Authorization") != "Bearer s3cr3t" || got.Headers[0].Get("X-Scope") != "night" {
		t.Errorf("headers %v", got.Headers[0])
	}
	if got.Resource["service.name"] != "nightly" || got.Resource["deployment.environment.name"] != "home" {
		t.Errorf("resource %v", got.Resource)
	}
	if strings.Contains(got.Raw, "s3cr3t") {
		t.Error("a header's value is in the trace")
	}
}

func TestWanted(t *testing.T) {
	for _, tt := range []struct {
		set  map[string]string
		want bool
	}{
		{nil, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, true},
		{map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, true},
		{map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://x"}, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_TRACES_EXPORTER": "none"}, false},
	} {
		environment(t, tt.set)
		if got := Wanted(); got != tt.want {
			t.Errorf("%v: %v", tt.set, got)
		}
		for name := range tt.set {
			t.Setenv(name, "")
		}
	}
}

// Settings that cannot be meant are errors that name the variable and repeat
// no secret.
func TestBadSettings(t *testing.T) {
	const good = "http://127.0.0.1:9"
	for _, tt := range []struct {
		name, value string
		want        string
	}{
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318", "OTEL_EXPORTER_OTLP_ENDPOINT is no address like http://localhost:4318"},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://me:s3cr3t@\x7f", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is no address"},
		{"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf alone, for which collectors listen on port 4318"},
		{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL is"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "Bearer s3cr3t", "OTEL_EXPORTER_OTLP_HEADERS is no list of name=value"},
		{"OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere.pem", "OTEL_EXPORTER_OTLP_CERTIFICATE: open /nowhere.pem"},
		{"OTEL_TRACES_EXPORTER", "zipkin", `OTEL_TRACES_EXPORTER is "zipkin"`},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:s3cr3t@127.0.0.1:9/?token=s3cr3t", "sending to http://127.0.0.1:9 (OTEL_EXPORTER_OTLP_ENDPOINT): "},
	} {
		environment(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": good})
		t.Setenv(tt.name, tt.value)
		_, err := Send(t.Context(), stored(t, "green/report.json"), Options{})
		t.Setenv(tt.name, "")
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "s3cr3t") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s=%s: %v", tt.name, tt.value, err)
		}
	}
}

// A receiver that is down, silent, unwilling or hostile is one error, and never
// holds longer than ctx.
func TestBadReceivers(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	serve := func(h http.HandlerFunc) string {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.URL
	}
	for name, tt := range map[string]struct {
		url, want string
	}{
		"down":   {"http://127.0.0.1:9", "connection refused"},
		"silent": {"http://" + silent.Addr().String(), "no answer in time"},
		"unwilling": {serve(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "the token \x1b[31mhas expired", http.StatusUnauthorized)
		}), "401 Unauthorized"},
		"busy":   {serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }), "in time"},
		"absent": {serve(http.NotFound), "404 Not Found"},
		"long": {serve(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write(make([]byte, 1<<20))
		}), "400 Bad Request"},
	} {
		t.Run(name, func(t *testing.T) {
			environment(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": tt.url})
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			began := time.Now()
			_, err := Send(ctx, stored(t, "green/report.json"), Options{})
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.ContainsAny(err.Error(), "\n\x1b\x00") || len(err.Error()) > 500 {
				t.Errorf("%v", err)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
	http.DefaultClient.CloseIdleConnections()
}

// A receiver behind TLS is believed with the certificate that is named, alone.
func TestTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(tracetest.New(t))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of the first client
	s.StartTLS()
	defer s.Close()
	environment(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": s.URL})
	if _, err := Send(t.Context(), stored(t, "green/report.json"), Options{}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("%v", err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", file)
	if sent, err := Send(t.Context(), stored(t, "green/report.json"), Options{}); err != nil || sent.Spans == 0 {
		t.Errorf("%+v, %v", sent, err)
	}
}

// Every stored report makes a trace, the hostile one too.
func TestAllReports(t *testing.T) {
	files, err := filepath.Glob("../../../pipeline/report/testdata/*/report.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		_, got := send(t, filepath.Join(filepath.Base(filepath.Dir(f)), "report.json"), nil)
		if slices.ContainsFunc(got.Spans, func(s *otlp.Span) bool { return s.EndTimeUnixNano < s.StartTimeUnixNano || s.Name == "" }) {
			t.Errorf("%s: a span ends before it begins, or has no name", f)
		}
	}
}
