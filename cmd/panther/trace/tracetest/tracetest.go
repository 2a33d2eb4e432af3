// Package tracetest receives traces in tests, as an OpenTelemetry collector
// does: OTLP over HTTP with protobuf.
package tracetest

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Receiver takes traces at the path /v1/traces of its URL.
type Receiver struct {
	*httptest.Server

	mu       sync.Mutex
	spans    []*otlp.Span
	facts    map[string]string // of the resource
	headers  []http.Header     // of each request
	raw      []byte            // all bodies, uncompressed
	problems []string
}

// New starts a receiver that is stopped at the end of the test.
func New(t testing.TB) *Receiver {
	t.Helper()
	r := &Receiver{facts: map[string]string{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

// ServeHTTP takes a request to export spans, as the OTLP specification has it.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.headers = append(r.headers, req.Header.Clone())
	if err := r.take(req); err != nil {
		r.problems = append(r.problems, err.Error())
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer, err := proto.Marshal(&collector.ExportTraceServiceResponse{})
	if err != nil {
		r.problems = append(r.problems, err.Error())
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(answer)
}

func (r *Receiver) take(req *http.Request) error {
	if req.Method != http.MethodPost || req.URL.Path != "/v1/traces" || req.Header.Get("Content-Type") != "application/x-protobuf" {
		return fmt.Errorf("%s %s of %s", req.Method, req.URL.Path, req.Header.Get("Content-Type"))
	}
	body := io.Reader(req.Body)
	if req.Header.Get("Content-Encoding") == "gzip" {
		zipped, err := gzip.NewReader(body)
		if err != nil {
			return err
		}
		body = zipped
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	r.raw = append(r.raw, data...)
	var export collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(data, &export); err != nil {
		return err
	}
	for _, res := range export.ResourceSpans {
		for k, v := range Attributes(res.Resource.GetAttributes()) {
			r.facts[k] = v
		}
		for _, scope := range res.ScopeSpans {
			r.spans = append(r.spans, scope.Spans...)
		}
	}
	return nil
}

// Received is what came until now.
type Received struct {
	Spans    []*otlp.Span
	Resource map[string]string
	Headers  []http.Header // of each request
	Raw      string        // the bodies
}

// Received fails the test if a request was none of the protocol.
func (r *Receiver) Received(t testing.TB) Received {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.problems {
		t.Errorf("a request that is no export of traces: %s", p)
	}
	return Received{r.spans, r.facts, r.headers, string(r.raw)}
}

// Attributes are attributes as text.
func Attributes(list []*common.KeyValue) map[string]string {
	m := map[string]string{}
	for _, kv := range list {
		switch v := kv.Value.GetValue().(type) {
		case *common.AnyValue_StringValue:
			m[kv.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			m[kv.Key] = fmt.Sprint(v.IntValue)
		default:
			m[kv.Key] = kv.Value.String()
		}
	}
	return m
}
