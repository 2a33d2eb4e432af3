package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/webserver"

	"github.com/google/go-cmp/cmp"
)

// A request's line says what slog's would, whatever a client sends.
func TestAccessLine(t *testing.T) {
	for _, path := range []string{"/nix-cache-info", "/a\"b\\c", "/\n\x00\x7f", "/\xff\xfe", "/ü<&>\u2028", ""} {
		for _, cut := range []bool{false, true} {
			a := webserver.Access{Method: "GET", Path: path, Remote: "127.0.0.1:1", Subject: "ci", Status: 200, Bytes: 1 << 40, Took: 1234567 * time.Nanosecond, Cut: cut}
			var want bytes.Buffer
			args := []any{"method", a.Method, "path", a.Path, "status", a.Status, "bytes", a.Bytes, "ms", 1.234, "remote", a.Remote, "who", a.Subject}
			if cut {
				args = append(args, "cut", true)
			}
			slog.New(slog.NewJSONHandler(&want, nil)).Info("request", args...)
			line := appendAccess(nil, time.Now(), a)
			if bytes.Count(line, []byte("\n")) != 1 {
				t.Errorf("%q: not one line: %q", path, line)
			}
			if diff := cmp.Diff(decoded(t, want.Bytes()), decoded(t, line)); diff != "" {
				t.Errorf("%q: %s", path, diff)
			}
		}
	}
}

func decoded(t *testing.T, line []byte) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(line, &v); err != nil {
		t.Fatalf("%v in %q", err, line)
	}
	if _, err := time.Parse(time.RFC3339Nano, v["time"].(string)); err != nil {
		t.Error(err)
	}
	delete(v, "time")
	return v
}
