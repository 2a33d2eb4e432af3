package nixstore

import (
	"database/sql"
	"os"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nixtest"

	"github.com/google/go-cmp/cmp"
)

const resolved = "/nix/store/q3lv9bi7r4di3kxdjhy7kvwgvpmanfza-a.drv"

// The table of Nix from 2.35 on, which cannot be had here, is made as its
// ca-specific-schema.sql has it, in a store of an older Nix.
func TestBuildTrace(t *testing.T) {
	env := nixtest.New(t)
	p := env.Build(t, `sh "a" "echo a > $out"`)
	s := open(t, "")
	none, err := s.Realisations(t.Context())
	if err != nil || len(none) != 0 {
		t.Fatalf("%v, %v; want none", none, err)
	}
	key, err := nix.GenerateKey("example.org-1")
	if err != nil {
		t.Fatal(err)
	}
	want := nix.Realisation{Drv: resolved, Output: "out", Path: nix.StorePath(p)}.Sign(key)
	db, err := sql.Open("sqlite", env.Root+"/nix/var/nix/db/db.sqlite")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range []string{
		"create table BuildTraceV3 (id integer primary key autoincrement not null, drvPath text not null, outputName text not null, outputPath text not null, signatures text)",
		"insert into BuildTraceV3 (drvPath, outputName, outputPath, signatures) values ('" + nix.StorePath(resolved).Base() + "', 'out', '" + p + "', '" + want.TraceSignatures[0].String() + " damaged')",
		"insert into BuildTraceV3 (drvPath, outputName, outputPath) values ('" + nix.StorePath(resolved).Base() + "', 'gone', '" + p[:len(p)-1] + "x')",
	} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Realisations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[nix.StorePath][]nix.Realisation{want.Path: {want}}, got); diff != "" {
		t.Error(diff)
	}

	if _, err := db.Exec("update BuildTraceV3 set outputName = '../out'"); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Realisations(t.Context()); err == nil {
		t.Errorf("a name that leads elsewhere: %v", got)
	}
}

// Which derivations stand behind a path cannot be asked of a daemon.
func TestRealisationsWithoutDatabase(t *testing.T) {
	env := nixtest.New(t)
	env.Build(t, `sh "a" "echo a > $out"`)
	if err := os.Remove(env.Root + "/nix/var/nix/db/db.sqlite"); err != nil {
		t.Fatal(err)
	}
	if got, err := open(t, "").Realisations(t.Context()); err != nil || got != nil {
		t.Errorf("%v, %v", got, err)
	}
}
