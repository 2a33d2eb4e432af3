package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// The checks of a host, rows of the report. One evaluation answers them all.
const (
	checkToplevel = "toplevel"
	checkSecurity = "security"
	checkServices = "services"
	checkCIS      = "cis"
)

// validation is what flake-src/lib/validation.nix says of a host.
type validation struct {
	Toplevel string `json:"toplevel"` // the store path of the toplevel's derivation
	CIS      []struct {
		Status string `json:"status"`
	} `json:"cis"`
	Problems []struct {
		Check   string `json:"check"`
		Message string `json:"message"`
	} `json:"problems"`
}

// evaluated is a host that was evaluated.
type evaluated struct {
	drvPath  string
	problems []string // names of the checks that found something wrong
}

// evaluate evaluates a host in a process of its own and records its checks.
func (r *run) evaluate(ctx context.Context, host string) (evaluated, bool) {
	began := r.startStep(host, report.StepEvaluate)
	r.rec.StartCheck(checkToplevel, host)
	argv := append([]string{"nix", "eval", "--json", "--show-trace", "--log-format", "internal-json"}, r.inputs...)
	argv = append(argv, attr(r.FlakeDir, "lib", "validation", host))
	var log nixLog
	out, err := r.Shell.Run(ctx, Command{Host: host, Step: report.StepEvaluate, Argv: argv, OnStderr: log.line})
	if ctx.Err() != nil {
		return evaluated{}, false
	}
	message := ""
	var v validation
	switch {
	case err != nil:
		message = err.Error()
	case out.ExitCode != 0:
		message = log.messageOr(out)
	default:
		if err := v.read(out.Stdout); err != nil {
			message = err.Error()
		}
	}
	if message != "" {
		names := r.sourceNames(ctx)
		message = names.Replace(message)
		lines := log.lines()
		for i := range lines {
			lines[i] = names.Replace(lines[i])
		}
		const detail = "the host does not evaluate"
		r.rec.Check(report.Check{Name: checkToplevel, Host: host, Status: report.Failed, Detail: detail})
		for _, name := range []string{checkSecurity, checkServices} {
			r.rec.Check(report.Check{Name: name, Host: host, Status: report.Skipped, Detail: detail})
		}
		r.fail(ctx, host, began, report.Failure{
			Step: report.StepEvaluate, Message: message, LogTail: lines,
			Command: r.NixCommand + " " + ShellWords(slices.Concat([]string{"eval", "--json", "--show-trace"}, r.inputs, argv[len(argv)-1:])...),
		})
		return evaluated{}, false
	}
	r.rec.SetDrvPath(host, v.Toplevel)
	problems := r.hostChecks(host, v)
	r.endStep(ctx, host, report.StepEvaluate, began, strings.Join(problems, ", "))
	return evaluated{drvPath: v.Toplevel, problems: problems}, true
}

// read decodes and judges what the evaluation printed.
func (v *validation) read(stdout []byte) error {
	if err := json.Unmarshal(stdout, v); err != nil {
		return fmt.Errorf("reading the evaluation of lib.validation: %v", err)
	}
	if !storePath.MatchString(v.Toplevel) || !strings.HasSuffix(v.Toplevel, ".drv") {
		return fmt.Errorf("lib.validation gives %q as the toplevel, which is no derivation", oneLine(v.Toplevel))
	}
	return nil
}

// hostChecks records a row for each of the host's checks and returns one line
// for each that failed.
func (r *run) hostChecks(host string, v validation) []string {
	found := map[string][]string{}
	names := []string{checkToplevel, checkSecurity, checkServices}
	if len(v.CIS) > 0 {
		names = append(names, checkCIS)
	}
	for _, p := range v.Problems {
		if !slices.Contains(names, p.Check) {
			names = append(names, p.Check)
		}
		found[p.Check] = append(found[p.Check], oneLine(p.Message))
	}
	var failed []string
	for _, name := range names {
		c := report.Check{Name: name, Host: host, Status: report.Passed}
		if name == checkToplevel {
			c.Detail = v.Toplevel
		}
		if name == checkCIS && len(v.CIS) > 0 {
			c.Counts = map[string]int{}
			for _, item := range v.CIS {
				c.Counts[oneLine(item.Status)]++
			}
			c.Detail = fmt.Sprintf("%d done, %d missing of %d items", c.Counts["done"], c.Counts["missing"], len(v.CIS))
		}
		if messages := found[name]; len(messages) > 0 {
			c.Status, c.Detail = report.Failed, strings.Join(messages, "; ")
			c.Log = messages
			failed = append(failed, name+": "+c.Detail)
		}
		r.rec.Check(c)
		if c.Status == report.Failed {
			r.event(Event{Kind: Note, Host: host, Step: name, Status: c.Status, Detail: c.Detail})
		}
	}
	return failed
}
