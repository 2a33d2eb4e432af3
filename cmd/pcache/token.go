package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/internal/token"

	"github.com/spf13/cobra"
)

func newToken() *cobra.Command {
	var file, rights, expires string
	var caches []string
	cmd := &cobra.Command{
		Use:   "token NAME",
		Short: "Make a token for pcache serve",
		Long: `Prints a new token, and adds a line to a file of tokens that says what it
allows (--file; made with mode 0600 if there is none). The file holds the
token's hash alone: who reads it cannot use the token, and a token that is lost
cannot be shown again. To take a token back, delete its line; a running server
notices within seconds.

A line is NAME RIGHTS CACHES SHA256 [EXPIRES]; "#" starts a comment.

Clients send the token as the password of a login in their netrc ("pcache use
--token-file" writes it) or as a bearer.

` + exitCodes,
		Example: `  pcache token ci --file tokens --rights pull,push --expires 90d > ci.token
  pcache token yoga --file tokens`,
		Args: atLeast(1, "it wants a name for who will have the token"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("token: one name, not %d", len(args))
			}
			if file == "" {
				return usagef("token: --file names the file of tokens of the server")
			}
			r, err := token.ParseRights(rights)
			if err != nil {
				return usagef("--rights: %v", err)
			}
			until, err := expiry(expires, time.Now())
			if err != nil {
				return usagef("--expires: %v", err)
			}
			secret, line, err := token.New(args[0], caches, r, until)
			if err != nil {
				return usageError{err}
			}
			if err := appendLine(file, line); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), secret)
			return nil
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "file of tokens to add to")
	cmd.Flags().StringVar(&rights, "rights", "pull", "what it allows, joined by commas: pull, push, delete, create, configure, retention, destroy")
	cmd.Flags().StringSliceVar(&caches, "cache", []string{"*"}, "name of a cache, or a pattern with * (can be repeated)")
	cmd.Flags().StringVar(&expires, "expires", "", "when it ends: 90d, 12h, or a time such as 2027-01-31T00:00:00Z (default never)")
	return cmd
}

func expiry(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n > 0 && n < 100_000 {
			return now.AddDate(0, 0, n), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(d), nil
	}
	return time.Time{}, fmt.Errorf("%q is neither a duration such as 90d or 12h nor a time", text)
}

// appendLine adds a line to a file that is, or becomes, its owner's alone.
func appendLine(file, line string) (err error) {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("file of tokens: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("file of tokens: %w", err)
	}
	if size := info.Size(); size > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, size-1); err == nil && last[0] != '\n' {
			line = "\n" + line
		}
	}
	if _, err := f.WriteString(line + "\n"); err != nil {
		return fmt.Errorf("file of tokens: %w", err)
	}
	return nil
}
