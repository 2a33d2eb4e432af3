package trend_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"gitlab.com/pantheros/pantheros/pipeline/report"
	"gitlab.com/pantheros/pantheros/pipeline/report/trend"
)

// run is a run's entry in an index. hosts are their outcomes, "a passed b failed".
func run(day int, status, inputs, hosts string) string {
	var list []string
	words := strings.Fields(hosts)
	for i := 0; i < len(words); i += 2 {
		list = append(list, fmt.Sprintf(`{"name": %q, "status": %q, "result": %q, "steps": [{"name": "build", "status": %q, "seconds": 61}], "closure_bytes": %d, "sent_bytes": 1048576}`,
			words[i], words[i+1], words[i+1], words[i+1], (100+day)<<20))
	}
	return fmt.Sprintf(`{"name": "202603%02dT023000Z-1f0c2a", "files": [{"name": "report.json", "size": 9}, {"name": "run.json", "size": 9}],
		"summary": {"schema": "pantheros.run/1", "status": %q, "fleet": "panthers", "started": "2026-03-%02dT02:30:00Z", "seconds": %d, "inputs": %q, "closure_bytes": %d, "sent_bytes": 2097152, "hosts": [%s]%s}}`,
		day, status, day, 60*day, inputs, (200+day)<<20, strings.Join(list, ","),
		map[bool]string{true: `, "regressions": [{"host": "a", "kind": "closure", "before_bytes": 1048576, "after_bytes": 2097152}]`}[day == 4])
}

func index(runs ...string) string {
	return `{"schema": "pantheros.reports/1", "later": 1, "runs": [` + strings.Join(runs, ",") + `]}`
}

func read(t *testing.T, text string) *trend.Index {
	t.Helper()
	x, err := trend.Read(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

var fleet = index(
	run(6, "failed", "real", "a passed b failed"),
	run(5, "interrupted", "real", "a passed b interrupted"),
	run(4, "passed", "real", "a passed b passed"),
	run(3, "passed", "offline", "a passed b passed"),
	`{"name": "20260302T023000Z-1f0c2a", "files": [], "summary": {"schema": "pantheros.run/2"}}`,
	`{"name": "20260301T023000Z-1f0c2a", "files": [], "summary": null}`,
)

func TestTrend(t *testing.T) {
	x := read(t, fleet)
	got := trend.Of(x)
	if got.Builds != (trend.Rate{Passed: 4, Of: 5}) || got.Runs != (trend.Rate{Passed: 1, Of: 2}) {
		t.Errorf("builds %+v, runs %+v", got.Builds, got.Runs)
	}
	if len(got.Points) != 3 || got.Others != 3 || got.Points[0].Summary.Started.Day() != 4 {
		t.Errorf("%d points, %d others", len(got.Points), got.Others)
	}
	if b := got.Hosts[1]; b.Name != "b" || b.Builds != (trend.Rate{Passed: 1, Of: 2}) || len(b.Cells) != 3 || b.Last().Status != report.Failed {
		t.Errorf("host b: %+v", b)
	}
	for inputs, want := range map[string]string{"real": "20260306", "offline": "20260303"} {
		if r, ok := x.Latest("panthers", inputs); !ok || !strings.HasPrefix(r.Name, want) {
			t.Errorf("the latest of %s inputs is %q, %v", inputs, r.Name, ok)
		}
	}
	if r, ok := x.Latest("lions", "real"); ok {
		t.Errorf("another fleet has %s", r.Name)
	}
	if r, ok := read(t, index(run(5, "interrupted", "real", ""))).Latest("panthers", "real"); ok {
		t.Errorf("%s was interrupted", r.Name)
	}

	var b bytes.Buffer
	if err := trend.Table(&b, got); err != nil {
		t.Fatal(err)
	}
	want := `panthers, 3 runs of real inputs: 4 of 5 builds succeeded in the last 3, 80.0 %, BELOW the goal of 95 %
3 runs of other fleets or inputs not counted

HOST  SUCCEEDED  NEWEST  TIME        CLOSURE    SENT
a     3 of 3     passed  1 min 01 s  106.0 MiB  1.0 MiB
b     1 of 2     failed  1 min 01 s  106.0 MiB  1.0 MiB

RUN               HOSTS   RESULT       TIME        CLOSURES   SENT
2026-03-06 02:30  1 of 2  failed       6 min 00 s  206.0 MiB  2.0 MiB
2026-03-05 02:30  1 of 1  interrupted  5 min 00 s  205.0 MiB  2.0 MiB
2026-03-04 02:30  2 of 2  passed       4 min 00 s  204.0 MiB  2.0 MiB

regression on 2026-03-04: the closure of a grew by 100 %, from 1.0 MiB to 2.0 MiB
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	b.Reset()
	if err := trend.Table(&b, trend.Of(read(t, index()))); err != nil || b.String() != "no runs yet\n" {
		t.Errorf("%v, %q", err, b.String())
	}
}

func TestReadRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON":      "{",
		"schema":       `{"schema": "pantheros.reports/2", "runs": []}`,
		"name":         strings.ReplaceAll(fleet, "20260306T023000Z-1f0c2a", "../../etc/passwd"),
		"file":         strings.Replace(fleet, "run.json", "../run.json", 1),
		"out of order": index(run(1, "passed", "real", ""), run(2, "passed", "real", "")),
		"twice":        index(run(2, "passed", "real", ""), run(2, "passed", "real", "")),
	} {
		if _, err := trend.Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), "read the index of runs") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPublished holds what is read here to the published schema.
func TestPublished(t *testing.T) {
	s, err := jsonschema.NewCompiler().Compile("../../../docs/schema/reports-1.json")
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(fleet))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(v); err != nil {
		t.Error(err)
	}
	data, err := os.ReadFile("../../../docs/schema/reports-1.json")
	if err != nil || !bytes.Contains(data, []byte(trend.Schema)) {
		t.Errorf("%v, the schema has another name", err)
	}
}
