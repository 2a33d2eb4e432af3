package main

import (
	"bufio"
	"io"
	"log"
	"log/slog"
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
		attrs := []slog.Attr{
			slog.String("method", a.Method), slog.String("path", a.Path), slog.Int("status", a.Status),
			slog.Int64("bytes", a.Bytes), slog.Float64("ms", float64(a.Took.Microseconds())/1000),
			slog.String("remote", a.Remote), slog.String("who", a.Subject),
		}
		if a.Cut {
			attrs = append(attrs, slog.Bool("cut", true))
		}
		l.LogAttrs(nil, slog.LevelInfo, "request", attrs...) //nolint:staticcheck // the handler takes no context
	}
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
	case "GET", "HEAD", "PUT", "POST", "DELETE", "PATCH":
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
