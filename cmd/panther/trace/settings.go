package trace

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
)

// The variables are those of the OpenTelemetry specification (SDK environment
// variables, OTLP exporter configuration). The exporter reads them itself; what
// it would pass over in silence is checked here.
const (
	varDisabled = "OTEL_SDK_DISABLED"
	varExporter = "OTEL_TRACES_EXPORTER"
)

// setting is a variable of the exporter, that of traces before that of all
// signals, and which of the two it was.
func setting(name string) (value, variable string) {
	for _, prefix := range []string{"OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"} {
		if v := strings.TrimSpace(os.Getenv(prefix + name)); v != "" {
			return v, prefix + name
		}
	}
	return "", ""
}

// Wanted reports whether the environment asks for traces: it names an endpoint,
// and does not switch them off.
func Wanted() bool {
	endpoint, _ := setting("ENDPOINT")
	return endpoint != "" && !strings.EqualFold(os.Getenv(varDisabled), "true") && os.Getenv(varExporter) != "none"
}

// checkSettings refuses what cannot be meant. No value is repeated that may
// hold a secret.
func checkSettings() error {
	if exporter := os.Getenv(varExporter); exporter != "" && exporter != "otlp" {
		return fmt.Errorf("%s is %q; panther knows otlp, and none", varExporter, exporter)
	}
	endpoint, variable := setting("ENDPOINT")
	if endpoint == "" {
		return errors.New("no endpoint is set: OTEL_EXPORTER_OTLP_ENDPOINT, say http://localhost:4318")
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%s is no address like http://localhost:4318", variable)
	}
	if protocol, variable := setting("PROTOCOL"); protocol != "" && protocol != "http/protobuf" {
		return fmt.Errorf("%s is %q; panther sends http/protobuf alone, for which collectors listen on port 4318", variable, protocol)
	}
	headers, variable := setting("HEADERS")
	for part := range strings.SplitSeq(headers, ",") {
		if name, _, ok := strings.Cut(part, "="); part != "" && (!ok || strings.TrimSpace(name) == "") {
			return fmt.Errorf("%s is no list of name=value with commas between", variable)
		}
	}
	for _, name := range []string{"CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"} {
		if file, variable := setting(name); file != "" {
			if _, err := os.ReadFile(file); err != nil {
				return fmt.Errorf("%s: %v", variable, err)
			}
		}
	}
	return nil
}
