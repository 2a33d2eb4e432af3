package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newMan() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the manual pages",
		Long: `Writes a manual page for each command into a directory, which is made: what
packages install below share/man/man1. With $SOURCE_DATE_EPOCH their date is
that, as in builds that are to give the same each time.`,
		Example: `  pcache man /usr/local/share/man/man1
  pcache man man && man -l man/pcache-push.1`,
		Args: exactly(1, "it wants a directory"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("write the manual pages: %w", err)
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true // it has the date again
			header := &doc.GenManHeader{Section: "1", Source: "pcache " + version, Manual: "pantherOS"}
			if err := doc.GenManTree(root, header, args[0]); err != nil {
				return fmt.Errorf("write the manual pages: %w", err)
			}
			return nil
		},
	}
}
