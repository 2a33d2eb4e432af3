package report

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schemaFile and summarySchemaFile are the published JSON Schemas. TestSchema
// writes them with -update: the fields are those of the types, their
// descriptions those of docs/report.md.
const (
	schemaFile        = "../../docs/schema/report-1.json"
	summarySchemaFile = "../../docs/schema/run-1.json"
)

// object is a JSON object; encoding/json sorts its keys.
type object = map[string]any

// growths are the integers that can be negative.
var growths = []string{"Changes.nar_bytes", "PackageChange.nar_bytes"}

// storePaths are the strings that have to be store paths.
var storePaths = []string{"Path.path", "Activity.path", "PushRoot.path", "PushPath.path"}

func TestSchema(t *testing.T) {
	descriptions := map[string]string{}
	heading := regexp.MustCompile("^### ([A-Za-z]+)$")
	tableRow := regexp.MustCompile("^\\| `([a-z_]+)` \\| [^|]+ \\| (?:yes|no) \\| (.+) \\|$")
	link := regexp.MustCompile(`\[([^\]]+)\]\([^)]+\)`)
	section := ""
	for line := range strings.Lines(readDocs(t)) {
		line = strings.TrimRight(line, "\n")
		if m := heading.FindStringSubmatch(line); m != nil {
			section = m[1]
		} else if m := tableRow.FindStringSubmatch(line); m != nil {
			descriptions[section+"."+m[1]] = strings.ReplaceAll(link.ReplaceAllString(m[2], "$1"), "`", "")
		}
	}
	defs := object{
		"Status": object{"enum": []Status{Passed, Failed, Skipped, Interrupted}},
		"time":   object{"type": "string", "format": "date-time", "pattern": "Z$"},
		"storePath": object{
			"type":    "string",
			"pattern": "^/.*/[" + nixBase32 + "]{32}-[-0-9a-zA-Z+._?=]{1,211}$",
		},
	}
	for name, typ := range documented {
		properties, required := object{}, []string{}
		for f := range typ.Fields() {
			tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			property := schemaOf(t, name+"."+tag, f.Type)
			property["description"] = descriptions[name+"."+tag]
			if property["description"] == "" {
				t.Errorf("%s does not describe %s.%s", docsFile, name, tag)
			}
			properties[tag] = property
			if options == "" {
				required = append(required, tag)
			}
		}
		defs[name] = object{"type": "object", "properties": properties}
		if len(required) > 0 {
			defs[name].(object)["required"] = required
		}
	}
	field := func(typ, name string) object {
		return defs[typ].(object)["properties"].(object)[name].(object)
	}
	field("Report", "schema")["const"] = Schema
	field("Summary", "schema")["const"] = SummarySchema
	field("Push", "schema")["const"] = PushSchema
	field("Host", "name")["minLength"] = 1
	field("SummaryHost", "name")["minLength"] = 1
	checkSchema(t, schemaFile, Schema, "A run of the pantherOS pipeline", "Report", defs)
	checkSchema(t, summarySchemaFile, SummarySchema, "A run of the pantherOS pipeline in a few lines", "Summary", defs)
}

// checkSchema compares a published schema with the one of a type, which has
// those of defs that it refers to.
func checkSchema(t *testing.T, file, schema, about, root string, defs object) {
	t.Helper()
	used := object{}
	var use func(v any)
	use = func(v any) {
		switch v := v.(type) {
		case object:
			if ref, ok := v["$ref"].(string); ok {
				name := strings.TrimPrefix(ref, "#/$defs/")
				if _, known := used[name]; !known {
					used[name] = defs[name]
					use(defs[name])
				}
			}
			for _, part := range v {
				use(part)
			}
		}
	}
	use(object{"$ref": "#/$defs/" + root})
	var want bytes.Buffer
	enc := json.NewEncoder(&want)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(object{
		"$schema": "https://json-schema.org/draft/2020-12/schema",
		"$id":     "https://gitlab.com/pantheros/pantheros/-/raw/main/docs/schema/" + filepath.Base(file),
		"title":   schema,
		"description": about + ", see docs/report.md. Fields are added under this name, " +
			"never changed or removed: a reader must ignore those that it does not know.",
		"$ref":  "#/$defs/" + root,
		"$defs": used,
	}); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), string(got)); diff != "" {
		t.Errorf("%s (-types +file); run with -update if fields were added:\n%s", file, diff)
	}
}

// schemaOf is the schema of a field's type.
func schemaOf(t *testing.T, field string, typ reflect.Type) object {
	switch typ {
	case reflect.TypeFor[time.Time]():
		return object{"$ref": "#/$defs/time"}
	case reflect.TypeFor[Status]():
		return object{"$ref": "#/$defs/Status"}
	}
	switch typ.Kind() {
	case reflect.String:
		if slices.Contains(storePaths, field) {
			return object{"$ref": "#/$defs/storePath"}
		}
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		if slices.Contains(growths, field) {
			return object{"type": "integer"}
		}
		return object{"type": "integer", "minimum": 0}
	case reflect.Float64:
		return object{"type": "number", "minimum": 0, "maximum": int64(maxSeconds)}
	case reflect.Pointer:
		return schemaOf(t, field, typ.Elem())
	case reflect.Slice:
		return object{"type": "array", "items": schemaOf(t, "", typ.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": schemaOf(t, "", typ.Elem())}
	case reflect.Struct:
		return object{"$ref": "#/$defs/" + typ.Name()}
	}
	t.Fatalf("no schema for type %s", typ)
	return nil
}

// publishedSchema is the schema as a stock validator compiles it.
func publishedSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	return compileSchema(t, schemaFile)
}

func compileSchema(t *testing.T, file string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	s, err := c.Compile(file)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSchemaAccepts validates every stored report: what this version writes,
// and what the first one and a real run wrote.
func TestSchemaAccepts(t *testing.T) {
	s := publishedSchema(t)
	golden, err := filepath.Glob("testdata/*/report.json")
	if err != nil || len(golden) < 8 {
		t.Fatalf("found %d reports: %v", len(golden), err)
	}
	older, err := filepath.Glob("testdata/reports/*.json")
	if err != nil || len(older) < 2 {
		t.Fatalf("found %d older reports: %v", len(older), err)
	}
	for _, file := range append(golden, older...) {
		if _, err := ReadFile(file); err != nil {
			t.Error(err)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(v); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestSchemaRefuses breaks a report in ways that Read refuses; the schema must
// too. Fields that are not known are no reason.
func TestSchemaRefuses(t *testing.T) {
	s := publishedSchema(t)
	green := greenJSON(t)
	check := func(text string) error {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return s.Validate(v)
	}
	more := strings.Replace(green, `"run": {`, `"weather": {"sky": 1}, "run": {"planet": null,`, 1)
	if err := check(more); err != nil || more == green {
		t.Errorf("unknown fields: %v", err)
	}
	broken := map[string][2]string{
		"schema":     {`"schema": "pantheros.report/1"`, `"schema": "pantheros.report/2"`},
		"status":     {`"status": "passed"`, `"status": "fine"`},
		"size":       {`"nar_bytes": `, `"nar_bytes": -1`},
		"duration":   {`"seconds": `, `"seconds": -1`},
		"store path": {`"path": "/nix/store/`, `"path": "/nix/store/u`},
		"type":       {`"hosts": [`, `"hosts": 3, "was": [`},
		"null":       {`"checks": [`, `"checks": null, "was": [`},
		"time":       {`"started": "`, `"started": "yesterday`},
		"no name":    {`"name": "yoga"`, `"name": ""`},
	}
	for _, name := range slices.Sorted(maps.Keys(broken)) {
		text := strings.Replace(green, broken[name][0], broken[name][1], 1)
		if text == green {
			t.Errorf("%s: nothing was broken", name)
		}
		if check(text) == nil {
			t.Errorf("%s: the schema accepts it", name)
		}
	}
}

// TestSummarySchema validates the summary of every stored report, which is read
// back as it was, and breaks one in ways that the schema and ReadSummary refuse.
func TestSummarySchema(t *testing.T) {
	s := compileSchema(t, summarySchemaFile)
	check := func(text string) error {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return s.Validate(v)
	}
	files, err := filepath.Glob("testdata/*/report.json")
	if err != nil || len(files) < 8 {
		t.Fatalf("found %d reports: %v", len(files), err)
	}
	for _, file := range files {
		r, err := ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := WriteSummary(&b, r); err != nil {
			t.Fatal(err)
		}
		if err := check(b.String()); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		got, err := ReadSummary(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r.Summarize(), *got); diff != "" {
			t.Errorf("%s (-written +read):\n%s", file, diff)
		}
	}
	r, err := ReadFile("testdata/regressed/report.json")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := WriteSummary(&b, r); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	more := strings.Replace(text, `"fleet":`, `"weather": {"sky": 1}, "fleet":`, 1)
	if _, err := ReadSummary([]byte(more)); err != nil || check(more) != nil || more == text {
		t.Errorf("an unknown field: %v", err)
	}
	broken := map[string][2]string{
		"schema":     {`"schema": "pantheros.run/1"`, `"schema": "pantheros.run/2"`},
		"status":     {`"status": "passed"`, `"status": "fine"`},
		"size":       {`"closure_bytes": `, `"closure_bytes": -1`},
		"duration":   {`"seconds": `, `"seconds": -1`},
		"checks":     {`"checks_passed": `, `"checks_passed": -1`},
		"type":       {`"hosts": [`, `"hosts": 3, "was": [`},
		"time":       {`"started": "`, `"started": "yesterday`},
		"no name":    {`"name": "desktop"`, `"name": ""`},
		"regression": {`"before_bytes": `, `"before_bytes": -1`},
	}
	for _, name := range slices.Sorted(maps.Keys(broken)) {
		text := strings.Replace(text, broken[name][0], broken[name][1], 1)
		if text == b.String() {
			t.Errorf("%s: nothing was broken", name)
		}
		if check(text) == nil {
			t.Errorf("%s: the schema accepts it", name)
		}
		if _, err := ReadSummary([]byte(text)); err == nil {
			t.Errorf("%s: ReadSummary accepts it", name)
		}
	}
}
