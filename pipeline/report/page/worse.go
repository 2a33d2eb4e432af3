package page

import (
	"fmt"
	"strconv"

	"gitlab.com/pantheros/pantheros/pipeline/report"
)

const maxWorse = 100 // rows of regressions

// worse is a regression as a row of a table.
type worse struct {
	Host, What, Before, After, By string
}

// regressions are the first of a list as rows, and how many more there are.
func regressions(list []report.Regression) (rows []worse, more int) {
	for _, g := range list[:min(len(list), maxWorse)] {
		rows = append(rows, newWorse(g))
	}
	return rows, len(list) - len(rows)
}

func newWorse(g report.Regression) worse {
	if g.Kind == report.RegressionClosure {
		share := float64(g.AfterBytes-g.BeforeBytes) / float64(max(g.BeforeBytes, 1))
		return worse{g.Host, "closure", size(g.BeforeBytes), size(g.AfterBytes), "+" + strconv.FormatFloat(share*100, 'f', 0, 64) + nbsp + "%"}
	}
	return worse{
		g.Host, g.Step, duration(g.BeforeSeconds), duration(g.AfterSeconds),
		fmt.Sprintf("%.1f\u00d7", g.AfterSeconds/max(g.BeforeSeconds, 0.001)),
	}
}
