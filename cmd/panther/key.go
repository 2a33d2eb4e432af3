package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"gitlab.com/pantheros/pantheros/pipeline"
)

// keyName is the name of the key that is made where none is given. A cache's
// clients trust name and key together.
const keyName = "pantheros-local-1"

// ensureKey makes a secret key with pcache where there is none. The file
// appears with its content and for its owner alone, or not at all.
func (w *workshop) ensureKey(ctx context.Context, file string) error {
	if isFile(file) {
		return nil
	}
	out, err := w.shell.Run(ctx, pipeline.Command{Step: "keygen", Argv: []string{"pcache", "keygen", keyName}})
	if err != nil {
		return environmentError("making a key for the cache: %v", err)
	}
	if out.ExitCode != 0 {
		return environmentError("making a key for the cache: pcache keygen ended with code %d: %s",
			out.ExitCode, strings.TrimSpace(string(out.Stderr)))
	}
	if !strings.HasPrefix(string(out.Stdout), keyName+":") {
		return environmentError("making a key for the cache: pcache keygen printed no key")
	}
	if err := writeSecret(file, out.Stdout); err != nil {
		return environmentError("writing the cache's key: %v", err)
	}
	return nil
}

// writeSecret creates file with mode 0600; a file that is there already stays.
func writeSecret(file string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("%s: %v", file, osCause(err))
	}
	// A link never replaces a key that another run made in the meantime.
	if err := os.Link(f.Name(), file); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}
