package report

import (
	"bytes"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const docsFile = "../../docs/report.md"

// documented are the types of the schema, by the heading of their section.
var documented = map[string]reflect.Type{
	"Report":        reflect.TypeFor[Report](),
	"Run":           reflect.TypeFor[Run](),
	"Check":         reflect.TypeFor[Check](),
	"Host":          reflect.TypeFor[Host](),
	"Step":          reflect.TypeFor[Step](),
	"Failure":       reflect.TypeFor[Failure](),
	"Closure":       reflect.TypeFor[Closure](),
	"Path":          reflect.TypeFor[Path](),
	"Count":         reflect.TypeFor[Count](),
	"Previous":      reflect.TypeFor[Previous](),
	"Changes":       reflect.TypeFor[Changes](),
	"PackageChange": reflect.TypeFor[PackageChange](),
	"Push":          reflect.TypeFor[Push](),
	"PushRoot":      reflect.TypeFor[PushRoot](),
	"PushPath":      reflect.TypeFor[PushPath](),
	"LockedInput":   reflect.TypeFor[LockedInput](),
	"Work":          reflect.TypeFor[Work](),
	"Regression":    reflect.TypeFor[Regression](),
	"Activity":      reflect.TypeFor[Activity](),
	"Limits":        reflect.TypeFor[Limits](),
	"Summary":       reflect.TypeFor[Summary](),
	"SummaryHost":   reflect.TypeFor[SummaryHost](),
	"SummaryStep":   reflect.TypeFor[SummaryStep](),
}

// field is a row of a table in the documentation.
type field struct {
	Name, Type string
	Optional   bool
}

// TestDocsFields holds docs/report.md to the types: every field, its type,
// whether it can be missing, and nothing that does not exist.
func TestDocsFields(t *testing.T) {
	docs := readDocs(t)
	heading := regexp.MustCompile("^### `?([A-Za-z]+)`?$")
	tableRow := regexp.MustCompile("^\\| `([a-z_]+)` \\| ([^|]+?) \\| (yes|no) \\| [^|]{10,} \\|$")
	got := map[string][]field{}
	section := ""
	for line := range strings.Lines(docs) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "#") {
			section = ""
			if m := heading.FindStringSubmatch(line); m != nil {
				section = m[1]
			}
		} else if m := tableRow.FindStringSubmatch(line); m != nil {
			got[section] = append(got[section], field{m[1], m[2], m[3] == "no"})
		} else if strings.HasPrefix(line, "| `") && section != "" {
			t.Errorf("section %s: malformed row %q", section, line)
		}
	}
	want := map[string][]field{}
	for name, typ := range documented {
		for f := range typ.Fields() {
			tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			want[name] = append(want[name], field{tag, docsType(t, f.Type), options != ""})
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-types +docs):\n%s", docsFile, diff)
	}
	for _, s := range []string{Schema, PushSchema, SummarySchema} {
		if !strings.Contains(docs, "`"+s+"`") {
			t.Errorf("%s does not name the schema %s", docsFile, s)
		}
	}
}

// docsType is how the documentation calls a type.
func docsType(t *testing.T, typ reflect.Type) string {
	switch typ {
	case reflect.TypeFor[time.Time]():
		return "time"
	case reflect.TypeFor[Status]():
		return "status"
	}
	switch typ.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Int, reflect.Int64:
		return "integer"
	case reflect.Float64:
		return "number"
	case reflect.Pointer:
		return docsType(t, typ.Elem())
	case reflect.Slice:
		return "list of " + docsType(t, typ.Elem())
	case reflect.Map:
		return "map of " + docsType(t, typ.Elem())
	case reflect.Struct:
		if documented[typ.Name()] != typ {
			t.Errorf("type %s is not among the documented ones", typ.Name())
		}
		return typ.Name()
	}
	t.Fatalf("no word for type %s", typ)
	return ""
}

// TestDocsWords checks that every word the code knows is explained.
func TestDocsWords(t *testing.T) {
	docs := readDocs(t)
	words := []string{
		string(Passed), string(Failed), string(Skipped), string(Interrupted),
		StepEvaluate, StepBuild, StepPush, Added, Removed, Changed, Rebuilt,
		ActivityBuild, ActivityFetch, OriginBuilt, OriginFetched,
		actionSend, actionSent, actionSkipped, actionFailed,
	}
	for reason := range skipReasons {
		words = append(words, reason)
	}
	for _, w := range words {
		if !strings.Contains(docs, "`"+w+"`") {
			t.Errorf("%s does not explain `%s`", docsFile, w)
		}
	}
}

// TestDocsExample keeps the example in the documentation what the code makes.
func TestDocsExample(t *testing.T) {
	docs := readDocs(t)
	const begin, end = "<!-- example: made by TestDocsExample, go test -update -->\n```json\n", "```\n<!-- end of example -->"
	before, rest, ok := strings.Cut(docs, begin)
	example, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no example between its markers", docsFile)
	}
	r := docsExample(t)
	var want bytes.Buffer
	if err := r.Write(&want); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(docsFile, []byte(before+begin+want.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		example = want.String()
	}
	if diff := cmp.Diff(want.String(), example); diff != "" {
		t.Errorf("%s (-code +docs); run with -update:\n%s", docsFile, diff)
	}
	if _, err := Read(strings.NewReader(example)); err != nil {
		t.Error(err)
	}
}

// docsExample is a small run: one host is built and pushed, one fails.
func docsExample(t *testing.T) Report {
	run := func(day int, commit, version string, firefox int64) Report {
		c := newClock()
		c.advance(time.Duration(day) * 24 * time.Hour)
		b := NewBuilder(Run{
			Fleet: "pantherOS", Started: c.t, Inputs: "real", Release: "25.05", Commit: commit,
			NixVersion: "2.26.3", Cache: "https://cache.example.org/pantheros",
		}, Host{Name: "yoga", Description: "Lenovo Yoga", System: "x86_64-linux"}, Host{Name: "zephyrus", Description: "ASUS ROG Zephyrus", System: "x86_64-linux"})
		b.Clock = c.now
		b.StartCheck("drift", "")
		c.advance(90 * time.Millisecond)
		b.Check(Check{Name: "drift", Status: Passed, Detail: "generated files are up to date"})
		packages := map[string][]pkg{"yoga": {{"nixos-system-yoga-25.05", version, 20_480}, {"firefox-" + version, "1", firefox}, {"glibc-2.40-66", "1", 31_457_280}}}
		built(b, c, packages, "yoga")
		b.StartStep("zephyrus", StepEvaluate)
		c.advance(2 * time.Second)
		b.Fail("zephyrus", Failure{
			Step: StepEvaluate, Message: "undefined variable 'pkg'",
			LogTail: []string{"error: undefined variable 'pkg'", "       at hosts/zephyrus/configuration.nix:12:5:"},
			Command: "nix eval .#nixosConfigurations.zephyrus.config.system.build.toplevel.drvPath",
		})
		p := pushOf(packages, func(p pkg) bool { return p.name != "glibc-2.40-66" }, "yoga")
		p.Started, p.Cache = c.t, b.run.Cache
		c.advance(time.Duration(p.Seconds * float64(time.Second)))
		mustPush(t, b, p)
		return b.Finish(c.t)
	}
	prev := run(0, "3f1c9d2", "139.0", 262_144_000)
	cur := run(1, "77aa01b", "140.0", 272_629_760)
	mustCompare(t, &prev, &cur)
	return cur
}

func readDocs(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
