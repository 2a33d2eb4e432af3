package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"gitlab.com/pantheros/pantheros/pipeline/flake"
)

func newGenerate(a *app) *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "generate",
		Short: "Write what is generated from hosts.toml",
		Long: `generate writes flake.nix from hosts.toml, and for a host that has none a folder
with first versions of its files, which are yours from then on. Nothing else is
touched, and nothing at all if everything is up to date.`,
		Example: `  panther generate           # after a change to hosts.toml
  panther generate --check   # in CI: exit code 3 and a diff if it was forgotten`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.generate(check) },
	}
	cmd.Flags().BoolVar(&check, "check", false, "write nothing; show the difference and end with code 3 if there is one")
	return cmd
}

// generated is what generate --json prints.
type generated struct {
	UpToDate bool     `json:"up_to_date"`
	Files    []string `json:"files"` // written, or to be written; below the flake's folder
	Stray    []string `json:"stray"` // folders below hosts/ that belong to no host
}

func (a *app) generate(check bool) error {
	p, err := a.project()
	if err != nil {
		return err
	}
	changes, err := flake.Plan(p.flake, p.inv)
	if err != nil {
		return environmentError("%v", err)
	}
	stray, err := flake.Stray(p.flake, p.inv)
	if err != nil {
		return environmentError("%v", err)
	}
	if !check {
		if err := flake.Apply(changes); err != nil {
			return environmentError("%v", err)
		}
	}
	result := generated{UpToDate: len(changes) == 0, Files: []string{}, Stray: append([]string{}, stray...)}
	for _, c := range changes {
		result.Files = append(result.Files, c.Path)
	}
	if a.json {
		if err := a.printJSON(result); err != nil {
			return err
		}
	} else {
		for _, dir := range stray {
			fmt.Fprintf(a.stderr, "panther: no host uses %s; remove it, or add the host to hosts.toml\n", filepath.Join(p.flake, dir))
		}
		switch {
		case result.UpToDate && !a.quiet:
			fmt.Fprintln(a.stdout, "up to date")
		case check:
			fmt.Fprint(a.stdout, flake.Diff(changes))
		case !a.quiet:
			for _, c := range changes {
				fmt.Fprintf(a.stdout, "wrote %s\n", filepath.Join(p.flake, c.Path))
			}
		}
	}
	if check && !result.UpToDate {
		return &exitError{exitInventory, fmt.Errorf(
			"%d generated file(s) in %s are not up to date; run panther generate", len(changes), p.flake)}
	}
	return nil
}

func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return environmentError("printing the result: %v", osCause(err))
	}
	return nil
}
