package page

import (
	"slices"

	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// maxColumns bounds the checks that have a column in the table of hosts.
const maxColumns = 8

// checks is what was validated.
type checks struct {
	Passed, Total int
	Fleet         []report.Check
	Names         []string // of the hosts' checks
	Rows          []checkRow
	More          int // hosts without a row: all their checks passed
	CIS           *cis
}

// checkRow is a host and the outcome of each check; nil where it has none.
type checkRow struct {
	Name  string
	Cells []*report.Check
	CIS   *cis
}

// cis counts the items of the CIS benchmark.
type cis struct {
	Asked, Done, Missing, NotApplicable, NotDone int
}

func newChecks(r *report.Report) checks {
	var c checks
	rows := map[string]int{}
	for i := range r.Checks {
		k := &r.Checks[i]
		if k.Status != report.Skipped {
			c.Total++
		}
		if k.Status == report.Passed {
			c.Passed++
		}
		if k.Host == "" {
			c.Fleet = append(c.Fleet, *k)
			continue
		}
		col := slices.Index(c.Names, k.Name)
		if col < 0 {
			if len(c.Names) == maxColumns {
				continue
			}
			col = len(c.Names)
			c.Names = append(c.Names, k.Name)
		}
		at, ok := rows[k.Host]
		if !ok {
			at = len(c.Rows)
			rows[k.Host] = at
			c.Rows = append(c.Rows, checkRow{Name: k.Host, Cells: make([]*report.Check, maxColumns)})
		}
		c.Rows[at].Cells[col] = k
		if k.Name == "cis" && len(k.Counts) > 0 {
			n := &cis{
				Done: k.Counts["done"], Missing: k.Counts["missing"],
				NotApplicable: k.Counts["not-applicable"], NotDone: k.Counts["not-done"],
			}
			n.Asked = n.Done + n.Missing + n.NotDone
			c.Rows[at].CIS = n
			if c.CIS == nil {
				c.CIS = &cis{}
			}
			c.CIS.Asked += n.Asked
			c.CIS.Done += n.Done
			c.CIS.Missing += n.Missing
			c.CIS.NotApplicable += n.NotApplicable
			c.CIS.NotDone += n.NotDone
		}
	}
	for i := range c.Rows {
		c.Rows[i].Cells = c.Rows[i].Cells[:len(c.Names)]
	}
	if len(c.Rows) > maxRows {
		good := func(row checkRow) bool {
			return !slices.ContainsFunc(row.Cells, func(k *report.Check) bool { return k != nil && k.Status != report.Passed })
		}
		slices.SortStableFunc(c.Rows, func(a, b checkRow) int {
			switch ga, gb := good(a), good(b); {
			case ga == gb:
				return 0
			case ga:
				return 1
			}
			return -1
		})
		n := maxRows
		for n < len(c.Rows) && n < maxHosts && !good(c.Rows[n]) {
			n++
		}
		c.More = len(c.Rows) - n
		c.Rows = c.Rows[:n]
	}
	return c
}
