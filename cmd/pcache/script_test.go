package main

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/nixtest"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"pcache": main})
}

// hello refers to base; both are small.
const hello = `let base = sh "base-1.0" "echo base > $out";
	in sh "hello-2.12" "mkdir -p $out/bin; printf '#!/bin/sh\necho ${base}\n' > $out/bin/hello; chmod +x $out/bin/hello"`

// Each script has a real Nix with a store that holds $HELLO and what it refers
// to, and a key in the file key.
func TestScripts(t *testing.T) {
	schemas, err := filepath.Abs("../../docs/schema")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			nix := nixtest.Another(t)
			path := nix.Build(t, hello)
			env.Vars = append(env.Vars, nix.Vars...)
			// Scripts find pcache first, then the commands of Nix.
			env.Setenv("PATH", os.Getenv("PATH")+":"+nixtest.Bin(t))
			env.Setenv("HELLO", path)
			env.Setenv("STORE", nix.Root)
			// What the script writes is also behind a web server.
			web := httptest.NewServer(http.FileServer(http.Dir(env.WorkDir)))
			env.Defer(web.Close)
			env.Setenv("WEB", web.URL)
			// The same with TLS, by an authority of its own.
			tls := httptest.NewTLSServer(http.FileServer(http.Dir(env.WorkDir)))
			env.Defer(tls.Close)
			env.Setenv("TLSWEB", tls.URL)
			authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tls.Certificate().Raw})
			if err := os.WriteFile(filepath.Join(env.WorkDir, "ca.pem"), authority, 0o644); err != nil {
				return err
			}
			env.Setenv("ABSENT", "/nix/store/7rjqb838snvvxcmpvck1smfxhkwzqal5-absent-1.0")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":  exits,
			"key":    key,
			"schema": schema(schemas),
		},
	})
}

// exits CODE PROGRAM ARG... runs a program that must exit with that code, with
// its output kept for `stdout` and `stderr`, and nothing on standard output
// unless the code is 0: that is for results.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
	if lines := bytes.Count([]byte(ts.ReadFile("stderr")), []byte("\n")); want != 0 && lines != 1 {
		ts.Fatalf("%d lines of error, want one:\n%s", lines, ts.ReadFile("stderr"))
	}
}

// key FILE NAME makes a secret key.
func key(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(ts.Exec("pcache", "keygen", args[1]))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(ts.ReadFile("stdout")), 0o600))
	fmt.Fprintln(ts.Stdout(), "made", args[0])
}
