//go:build !unix

package substituter

import "os"

func openFile(name string) (*os.File, error) { return os.Open(name) }
