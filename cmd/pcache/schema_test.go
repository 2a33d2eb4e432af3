package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schema NAME compares the standard output of the last command, one JSON value
// or one a line, with docs/schema/NAME.json.
func schema(dir string) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != 1 {
			ts.Fatalf("usage: schema NAME")
		}
		compiler := jsonschema.NewCompiler()
		compiler.AssertFormat()
		s, err := compiler.Compile(filepath.Join(dir, args[0]+".json"))
		ts.Check(err)
		decoder := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
		values := 0
		for {
			var raw json.RawMessage
			if err := decoder.Decode(&raw); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				ts.Fatalf("standard output is not JSON: %v", err)
			}
			value, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
			ts.Check(err)
			ts.Check(s.Validate(value))
			values++
		}
		if values == 0 {
			ts.Fatalf("no JSON on standard output")
		}
	}
}
