package substituter

import (
	"gitlab.com/pantheros/pantheros/internal/mirror"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count what a Cache does. docs/serve.md lists them.
type metrics struct {
	lookups    *prometheus.CounterVec
	upstream   *prometheus.CounterVec
	received   *prometheus.CounterVec
	damaged    *prometheus.CounterVec
	flights    prometheus.Gauge
	remembered prometheus.Counter // of lookups, the most frequent
	coalesced  prometheus.Counter
	hits       prometheus.Counter
	misses     prometheus.Counter
	unkept     prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "pcache", Name: name, Help: help})
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "pcache", Name: name, Help: help}, labels)
	}
	m := &metrics{
		lookups:   vec("lookups_total", "Questions for a path, by where the answer was from: memory, local, upstream, absent, absent-memory, failed.", "answer"),
		upstream:  vec("upstream_requests_total", "Requests to upstreams, by object and result.", "upstream", "object", "result"),
		received:  vec("upstream_received_bytes_total", "Bytes of NARs from upstreams.", "upstream"),
		damaged:   vec("upstream_damaged_total", "NARs of upstreams that were not what their narinfos said.", "upstream"),
		flights:   prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "pcache", Name: "fetches", Help: "NARs on their way from upstreams."}),
		coalesced: counter("coalesced_total", "Requests for a NAR that was on its way for another request."),
		hits:      counter("local_hits_total", "Requests for a NAR that was kept."),
		misses:    counter("local_misses_total", "Requests for a NAR that was not kept."),
		unkept:    counter("unkept_total", "NARs passed on without keeping them for lack of room."),
	}
	m.remembered = m.lookups.WithLabelValues("memory")
	if r != nil {
		r.MustRegister(m.lookups, m.upstream, m.received, m.damaged, m.flights, m.coalesced, m.hits, m.misses, m.unkept)
	}
	return m
}

// watch adds what is looked up when it is asked for.
func (m *metrics) watch(c *Cache, r prometheus.Registerer) {
	if r == nil {
		return
	}
	gauge := func(name, help string, labels prometheus.Labels, f func() float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "pcache", Name: name, Help: help, ConstLabels: labels}, f))
	}
	for _, u := range c.upstreams {
		gauge("upstream_broken", "1 while an upstream failed so often that it is not asked.", prometheus.Labels{"upstream": u.Name}, func() float64 {
			if u.breaker.broken() {
				return 1
			}
			return 0
		})
	}
	if c.o.Mirror == nil {
		return
	}
	usage := func(name, help string, f func(mirror.Usage) int64) {
		gauge(name, help, nil, func() float64 { return float64(f(c.o.Mirror.Usage())) })
	}
	usage("local_bytes", "Bytes of NARs that are kept.", func(u mirror.Usage) int64 { return u.Used })
	usage("local_pinned_bytes", "Bytes of kept NARs that root manifests pin.", func(u mirror.Usage) int64 { return u.Pinned })
	usage("local_max_bytes", "Bound of the bytes that are kept.", func(u mirror.Usage) int64 { return u.Max })
	usage("local_nars", "NARs that are kept.", func(u mirror.Usage) int64 { return int64(u.Objects) })
	usage("local_evicted_nars", "NARs that made room since the start.", func(u mirror.Usage) int64 { return u.Evicted })
	usage("local_evicted_bytes", "Bytes of NARs that made room since the start.", func(u mirror.Usage) int64 { return u.EvictedBytes })
}
