// Package trace sends a report as an OpenTelemetry trace, over OTLP with HTTP
// and protobuf, to the endpoint that the environment names.
package trace

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.40.0"
	"go.opentelemetry.io/otel/trace"

	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// batchSpans is how many spans go in one request, a few hundred bytes each.
const batchSpans = 1000

// Options say what a report does not.
type Options struct {
	Command string // of panther: "build-all"
	Version string // of panther
}

// Sent is what was sent.
type Sent struct {
	TraceID string // 32 hexadecimal digits
	Spans   int    // 0 if the sampler that the environment chose left the trace out
}

// Send sends a finished report, whose times and outcomes the spans have. The
// trace goes on that of TRACEPARENT, where it is set. The same report gives the
// same ids each time, so that sending it twice does not make two traces. Send
// returns when the receiver has it all, has refused it, or ctx ends.
func Send(ctx context.Context, rep *report.Report, o Options) (Sent, error) {
	if err := checkSettings(); err != nil {
		return Sent{}, err
	}
	// The libraries would write to standard error, headers included.
	otel.SetLogger(logr.Discard())
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {}))

	facts, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithHost(),
		resource.WithAttributes(semconv.ServiceName("panther"), semconv.ServiceVersion(o.Version)),
		resource.WithFromEnv(), // last: OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win
	)
	if err != nil && !errors.Is(err, resource.ErrPartialResource) && !errors.Is(err, resource.ErrSchemaURLConflict) {
		return Sent{}, fmt.Errorf("describing this machine: %v", err)
	}
	var spans collector
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithResource(facts),
		sdktrace.WithIDGenerator(newIDs(rep)),
		sdktrace.WithSpanProcessor(&spans),
	)
	parent := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{
		"traceparent": os.Getenv("TRACEPARENT"), "tracestate": os.Getenv("TRACESTATE"),
	})
	t := tree{Report: rep, Options: o, tracer: provider.Tracer("gitlab.com/pantheros/pantheros", trace.WithInstrumentationVersion(o.Version))}
	id := t.run(parent)
	sent := Sent{TraceID: id.String()}
	if len(spans) == 0 {
		return sent, nil
	}

	exporter, err := otlptrace.New(ctx, otlptracehttp.NewClient(otlptracehttp.WithRetry(otlptracehttp.RetryConfig{
		Enabled: true, InitialInterval: 250 * time.Millisecond, MaxInterval: time.Second, MaxElapsedTime: time.Minute, // ctx ends it
	})))
	if err != nil {
		return sent, why(ctx, err)
	}
	for batch := range slices.Chunk(spans, batchSpans) {
		if err := exporter.ExportSpans(ctx, batch); err != nil {
			return sent, errors.Join(why(ctx, err), exporter.Shutdown(context.WithoutCancel(ctx)))
		}
		sent.Spans += len(batch)
	}
	return sent, exporter.Shutdown(ctx)
}

// why is an error of the exporter in one line: it may hold what a server said.
func why(ctx context.Context, err error) error {
	const most = 300
	text := report.Line(err.Error())
	if ctx.Err() != nil {
		text = "no answer in time"
	}
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most]) + " [cut]"
	}
	endpoint, variable := setting("ENDPOINT")
	if u, err := url.Parse(endpoint); err == nil {
		endpoint = u.Scheme + "://" + u.Host // no password, no token
	}
	return fmt.Errorf("sending to %s (%s): %s", endpoint, variable, text)
}

// collector keeps spans that ended.
type collector []sdktrace.ReadOnlySpan

func (*collector) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (c *collector) OnEnd(s sdktrace.ReadOnlySpan)                 { *c = append(*c, s) }
func (*collector) Shutdown(context.Context) error                  { return nil }
func (*collector) ForceFlush(context.Context) error                { return nil }

// ids are those of a report's spans, the same each time.
type ids struct{ *rand.ChaCha8 }

func newIDs(rep *report.Report) *ids {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q %v", rep.Run.Fleet, rep.Run.Commit, rep.Run.Started.Format(time.RFC3339Nano), rep.Run.Seconds)
	for _, host := range rep.Hosts {
		fmt.Fprintf(h, " %q %q", host.Name, host.DrvPath)
	}
	return &ids{rand.NewChaCha8([32]byte(h.Sum(nil)))}
}

// NewIDs makes the ids of a trace's first span. None is zero, by the odds.
func (g *ids) NewIDs(ctx context.Context) (t trace.TraceID, s trace.SpanID) {
	_, _ = g.Read(t[:]) // it cannot fail
	return t, g.NewSpanID(ctx, t)
}

// NewSpanID makes the id of another span.
func (g *ids) NewSpanID(context.Context, trace.TraceID) (s trace.SpanID) {
	_, _ = g.Read(s[:])
	return s
}
