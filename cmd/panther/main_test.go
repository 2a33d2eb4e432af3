package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"gitlab.com/pantheros/pantheros/internal/nixtest"
)

// programs is the folder of the programs under test, built once.
var programs string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "panther-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	programs = dir
	out, err := exec.Command("go", "build", "-o", dir+"/", "gitlab.com/pantheros/pantheros/cmd/...").CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "building the programs: %v\n%s", err, out)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// TestScripts runs the command lines of testdata/script. $NIX is a folder with
// a real Nix; PATH has the programs under test and no Nix. The command fleet
// copies testdata/fleet to the working folder, and $REPORTS has stored reports.
func TestScripts(t *testing.T) {
	nix := nixtest.Bin(t)
	fleet, err := filepath.Abs("testdata/fleet")
	if err != nil {
		t.Fatal(err)
	}
	reports, err := filepath.Abs("../../pipeline/report/testdata")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", programs+":/usr/bin:/bin:/usr/sbin:/sbin")
			env.Setenv("NIX", nix)
			env.Setenv("REPORTS", reports)
			env.Setenv("LC_ALL", "C.UTF-8")
			env.Defer(func() { unlock(env.WorkDir) })
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"fleet": func(ts *testscript.TestScript, _ bool, _ []string) {
				ts.Check(os.CopyFS(ts.MkAbs("."), os.DirFS(fleet)))
			},
			// exits CODE PROGRAM ARG... runs a program that must end with CODE.
			"exits": exits,
		},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	got := "0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		failed := new(exec.ExitError)
		if !asExit(err, &failed) {
			ts.Fatalf("%v", err)
		}
		got = fmt.Sprint(failed.ExitCode())
	}
	if got != args[0] {
		ts.Fatalf("%s ended with code %s, want %s", strings.Join(args[1:], " "), got, args[0])
	}
}

func asExit(err error, target **exec.ExitError) bool {
	e, ok := err.(*exec.ExitError) //nolint:errorlint // testscript returns it as it is
	*target = e
	return ok
}

// unlock makes the folders of Nix stores below dir removable.
func unlock(dir string) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(path, 0o755)
		}
		return nil
	})
}
