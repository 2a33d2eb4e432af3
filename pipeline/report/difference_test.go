package report

import (
	"bytes"
	"path/filepath"
	"testing"
)

func TestDifference(t *testing.T) {
	read := func(file string) *Report {
		r, err := ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for name, files := range map[string][2]string{
		"changed/difference.txt":      {"green/report.json", "changed/report.json"},
		"build-failed/difference.txt": {"green/report.json", "build-failed/report.json"},
		"hostile/difference.txt":      {"offline/report.json", "hostile/report.json"},
		"green/difference.txt":        {"interrupted/report.json", "green/report.json"},
	} {
		var b bytes.Buffer
		if err := Difference(&b, read(files[0]), read(files[1]), Limits{}); err != nil {
			t.Fatal(err)
		}
		checkText(t, b.String())
		golden(t, name, b.Bytes())
	}
	if err := Difference(new(bytes.Buffer), read("green/report.json"), read("offline/report.json"), Limits{}); err == nil {
		t.Error("a run with stand-ins was compared with a real one")
	}
}
