package main

import (
	"bufio"
	"encoding/json"
	"io"
	"log"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"gitlab.com/pantheros/pantheros/internal/substituter"
	"gitlab.com/pantheros/pantheros/internal/webserver"

	"github.com/prometheus/client_golang/prometheus"
)

// serveLog is the server's log: JSON, one object a line, written a few times a
// second and at the end.
type serveLog struct {
	*slog.Logger
	out *lateWriter
}

func newServeLog(w io.Writer) (l *serveLog, flush func()) {
	out := &lateWriter{w: bufio.NewWriterSize(w, 32<<10)}
	return &serveLog{slog.New(slog.NewJSONHandler(out, nil)), out}, out.flush
}

func (l *serveLog) std() *log.Logger { return slog.NewLogLogger(l.Handler(), slog.LevelWarn) }

// event logs what the substituter tells.
func (l *serveLog) event(e substituter.Event) {
	l.Warn(e.Kind, "upstream", e.Upstream, "object", e.Object, "error", e.Err.Error())
}

// access logs and counts requests.
func (l *serveLog) access(write bool, m *requestMetrics) func(webserver.Access) {
	return func(a webserver.Access) {
		m.note(a)
		if !write {
			return
		}
		b, _ := lines.Get().(*[]byte)
		*b = appendAccess((*b)[:0], time.Now(), a)
		_, _ = l.out.Write(*b)
		lines.Put(b)
	}
}

var lines = sync.Pool{New: func() any { return new([]byte) }}

// appendAccess appends a request's line as slog's JSON handler would write it.
// With slog, the line was a tenth of what answering a narinfo costs.
func appendAccess(b []byte, now time.Time, a webserver.Access) []byte {
	b = append(b, `{"time":"`...)
	b = now.AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","level":"INFO","msg":"request","method":`...)
	b = appendJSON(b, a.Method)
	b = append(b, `,"path":`...)
	b = appendJSON(b, a.Path)
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(a.Status), 10)
	b = append(b, `,"bytes":`...)
	b = strconv.AppendInt(b, a.Bytes, 10)
	b = append(b, `,"ms":`...)
	b = strconv.AppendFloat(b, float64(a.Took.Microseconds())/1000, 'f', -1, 64)
	b = append(b, `,"remote":`...)
	b = appendJSON(b, a.Remote)
	b = append(b, `,"who":`...)
	b = appendJSON(b, a.Subject)
	if a.Cut {
		b = append(b, `,"cut":true`...)
	}
	return append(b, "}\n"...)
}

// appendJSON appends a string of JSON. What is not plain goes the long way.
func appendJSON(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			text, err := json.Marshal(s)
			if err != nil { // it cannot be: invalid UTF-8 is replaced
				return append(b, `""`...)
			}
			return append(b, text...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// lateWriter gathers what is written and passes it on soon after.
type lateWriter struct {
	mu    sync.Mutex
	w     *bufio.Writer
	armed bool
}

const logDelay = 200 * time.Millisecond

func (w *lateWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.armed {
		w.armed = true
		time.AfterFunc(logDelay, w.flush)
	}
	return w.w.Write(p)
}

func (w *lateWriter) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = false
	_ = w.w.Flush()
}

// requestMetrics count requests by kind and status.
type requestMetrics struct {
	requests *prometheus.CounterVec
	bytes    *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	quick    sync.Map // of counters, by kind and status
}

type requestCounters struct {
	requests prometheus.Counter
	bytes    prometheus.Counter
	seconds  prometheus.Observer
}

func newRequestMetrics(r prometheus.Registerer) *requestMetrics {
	m := &requestMetrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "pcache", Name: "requests_total", Help: "Requests, by method, kind of object and status; 0: cut before an answer."}, []string{"method", "kind", "status"}),
		bytes:    prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "pcache", Name: "sent_bytes_total", Help: "Bytes of answers, by kind of object."}, []string{"kind"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "pcache", Name: "request_seconds", Help: "Duration of requests, by kind of object.",
			Buckets: []float64{.0005, .002, .01, .05, .2, 1, 5, 30, 120}}, []string{"kind"}),
	}
	r.MustRegister(m.requests, m.bytes, m.seconds)
	return m
}

type requestKind struct {
	method string
	kind   substituter.Kind
	status int
}

func (m *requestMetrics) note(a webserver.Access) {
	key := requestKind{a.Method, substituter.Classify(strings.TrimPrefix(a.Path, "/")), a.Status}
	switch a.Method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPost, http.MethodDelete, http.MethodPatch:
	default:
		key.method = "other"
	}
	v, ok := m.quick.Load(key)
	if !ok {
		kind := string(key.kind)
		if kind == "" {
			kind = "none"
		}
		v, _ = m.quick.LoadOrStore(key, &requestCounters{
			m.requests.WithLabelValues(key.method, kind, strconv.Itoa(key.status)), m.bytes.WithLabelValues(kind), m.seconds.WithLabelValues(kind),
		})
	}
	c := v.(*requestCounters)
	c.requests.Inc()
	c.bytes.Add(float64(a.Bytes))
	c.seconds.Observe(a.Took.Seconds())
}
