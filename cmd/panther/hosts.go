package main

import (
	"io"
	"strings"

	"github.com/spf13/cobra"
)

func newHosts(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "hosts",
		Short:   "List the hosts of hosts.toml",
		Example: "  panther hosts --json | jq -r '.hosts[].name'",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return a.hosts() },
	}
}

// listed is what hosts --json prints.
type listed struct {
	Fleet   string       `json:"fleet"`
	Release string       `json:"release"`
	Hosts   []listedHost `json:"hosts"`
}

type listedHost struct {
	Name         string   `json:"name"`
	Description  string   `json:"description"`
	System       string   `json:"system"`
	StateVersion string   `json:"state_version"`
	Profiles     []string `json:"profiles"`
	Features     []string `json:"features"`
	Users        []string `json:"users"`
}

func (a *app) hosts() error {
	p, err := a.project()
	if err != nil {
		return err
	}
	if a.json {
		list := listed{Fleet: p.inv.Fleet.Name, Release: p.inv.Fleet.Release, Hosts: []listedHost{}}
		for _, h := range p.inv.Hosts {
			list.Hosts = append(list.Hosts, listedHost{
				Name: h.Name, Description: h.Description, System: h.System, StateVersion: h.StateVersion,
				Profiles: append([]string{}, h.Profiles...),
				Features: append([]string{}, h.Features...),
				Users:    append([]string{}, h.Users...),
			})
		}
		return a.printJSON(list)
	}
	rows := [][]string{{"HOST", "SYSTEM", "STATE", "USERS", "DESCRIPTION"}}
	for _, h := range p.inv.Hosts {
		rows = append(rows, []string{h.Name, h.System, h.StateVersion, strings.Join(h.Users, " "), h.Description})
	}
	var b strings.Builder
	columns(&b, rows)
	if _, err := io.WriteString(a.stdout, b.String()); err != nil {
		return environmentError("printing the hosts: %v", osCause(err))
	}
	return nil
}
