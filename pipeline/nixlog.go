package pipeline

import (
	"cmp"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// What the numbers in Nix's internal-json log mean (Nix's logging.hh; the same
// from 2.18 to 2.34).
const (
	activityCopyPath   = 100
	activityBuilds     = 104
	activityBuild      = 105
	activitySubstitute = 108

	resultLogLine     = 101
	resultProgress    = 105
	resultSetExpected = 106

	levelError  = 0
	levelNotice = 2
)

// recentBuilds is how many finished builds are remembered with their logs: Nix
// 2.34 ends a build's activity before it says that the build failed, others
// after. Builds that went well are forgotten, there may be thousands.
const recentBuilds = 32

// maxOutputs bounds the derivations whose outputs are asked for.
const maxOutputs = 20_000

// nixLog reads what Nix prints on standard error with --log-format
// internal-json. It takes everything: plain lines, results of activities that
// it never saw start, and JSON of a shape that it does not know.
type nixLog struct {
	// onActivity, if set, is told of builds and fetches as they start and end.
	onActivity func(a nixActivity)

	running map[uint64]*nixBuild
	recent  []*nixBuild // ended, oldest first
	failed  []*nixBuild // in the order in which Nix named them
	errors  []string    // error messages, one line each, the first few
	said    tail        // those messages in full, with their traces
	output  tail        // all that a person would have read: plain lines and messages

	buildsID       uint64 // the activity that counts builds
	done, expected int    // builds, as Nix counts them
	built, fetched int    // builds and substitutions that ended

	drvs []string       // derivations built, the first of them
	on   map[string]int // builds that ended, by the machine that was named for them

	// onRefusal, if set, is told of each machine that could not build, once, with
	// why; Nix then builds elsewhere.
	onRefusal func(message string)
	refused   map[string]bool
	plain     string // the last plain line: what ssh says

	copying map[uint64]int64 // bytes so far of the copies under way
	copied  int64            // bytes of the copies that ended
	toCopy  map[uint64]int64 // bytes that an activity expects to be copied in all
}

// nixActivity is the start, the end or the late failure of a build or fetch.
type nixActivity struct {
	kind   string // as report has them
	path   string
	from   string
	status report.Status // empty: it starts
}

// nixBuild is the building of one derivation, or the fetching of a path.
type nixBuild struct {
	drv     string
	path    string // of a fetch
	on      string // the machine that builds it, where Nix named one
	log     tail
	message string // why it failed, as Nix words it
	// nested counts the activities in which another machine's Nix tells of the
	// same build.
	nested int
}

type nixEvent struct {
	Action string            `json:"action"`
	ID     uint64            `json:"id"`
	Type   int               `json:"type"`
	Level  int               `json:"level"`
	Fields []json.RawMessage `json:"fields"`
	Msg    string            `json:"msg"`
	RawMsg *string           `json:"raw_msg"`
}

// line takes one line of standard error.
func (l *nixLog) line(line string) {
	rest, isEvent := strings.CutPrefix(line, "@nix ")
	if !isEvent {
		l.plain = line
		l.output.add(line)
		return
	}
	var e nixEvent
	if json.Unmarshal([]byte(rest), &e) != nil {
		return
	}
	switch e.Action {
	case "start":
		l.start(e)
	case "stop":
		l.stop(e.ID)
	case "result":
		l.result(e)
	case "msg":
		l.msg(e)
	}
}

func (l *nixLog) start(e nixEvent) {
	switch e.Type {
	case activityBuilds:
		// Others that begin in the meantime are of machines that build for this one.
		if l.buildsID == 0 {
			l.buildsID = e.ID
		}
	case activityBuild:
		drv := e.str(0)
		if b := l.findRunning(drv); b != nil {
			b.nested++
			l.track(e.ID, b)
		} else if drv != "" {
			l.track(e.ID, &nixBuild{drv: drv, on: e.str(1)})
			l.tell(nixActivity{kind: report.ActivityBuild, path: drv, from: e.str(1)})
		}
	case activitySubstitute:
		l.track(e.ID, &nixBuild{path: e.str(0)})
		l.tell(nixActivity{kind: report.ActivityFetch, path: e.str(0), from: e.str(1)})
	case activityCopyPath:
		// Other copies are to and from machines that build.
		if !l.isFetching(e.str(0)) {
			return
		}
		if l.copying == nil {
			l.copying = map[uint64]int64{}
		}
		l.copying[e.ID] = 0
	}
}

func (l *nixLog) track(id uint64, b *nixBuild) {
	if l.running == nil {
		l.running = map[uint64]*nixBuild{}
	}
	l.running[id] = b
}

func (l *nixLog) tell(a nixActivity) {
	if l.onActivity != nil {
		l.onActivity(a)
	}
}

// fetchedBytes is how much was fetched so far, in bytes of NARs.
func (l *nixLog) fetchedBytes() int64 {
	n := l.copied
	for _, b := range l.copying {
		n += b
	}
	return n
}

// fetchTotal is how many bytes are to be fetched in all, as far as Nix said.
func (l *nixLog) fetchTotal() int64 {
	n := int64(0)
	for _, b := range l.toCopy {
		n += b
	}
	return n
}

func (l *nixLog) stop(id uint64) {
	if n, ok := l.copying[id]; ok {
		l.copied += n
		delete(l.copying, id)
		return
	}
	if id == l.buildsID {
		l.buildsID = 0
	}
	b := l.running[id]
	if b == nil {
		return
	}
	delete(l.running, id)
	if b.drv == "" {
		l.fetched++
		l.tell(nixActivity{kind: report.ActivityFetch, path: b.path, status: report.Passed})
		return
	}
	if b.nested > 0 {
		b.nested--
		return
	}
	l.built++
	if b.on != "" {
		if l.on == nil {
			l.on = map[string]int{}
		}
		l.on[b.on]++
	}
	if len(l.drvs) < maxOutputs {
		l.drvs = append(l.drvs, b.drv)
	}
	status := report.Passed
	if b.message != "" {
		status = report.Failed
	}
	l.tell(nixActivity{kind: report.ActivityBuild, path: b.drv, status: status})
	l.recent = append(l.recent, b)
	if len(l.recent) > recentBuilds {
		l.recent = slices.Delete(l.recent, 0, 1)
	}
}

func (l *nixLog) result(e nixEvent) {
	switch {
	case e.Type == resultLogLine:
		if b := l.running[e.ID]; b != nil {
			b.log.add(e.str(0))
		} else {
			l.output.add(e.str(0))
		}
	case e.Type == resultProgress && l.isCopying(e.ID):
		l.copying[e.ID] = max(0, int64(e.num(0)))
	case e.Type == resultSetExpected && e.num(0) == activityCopyPath:
		if l.toCopy == nil {
			l.toCopy = map[uint64]int64{}
		}
		l.toCopy[e.ID] = max(0, int64(e.num(1)))
	case e.Type == resultProgress && l.buildsID != 0 && e.ID == l.buildsID:
		l.done, l.expected = e.num(0), e.num(1)
	}
}

func (l *nixLog) isCopying(id uint64) bool {
	_, ok := l.copying[id]
	return ok
}

func (l *nixLog) isRunning(b *nixBuild) bool {
	for _, r := range l.running {
		if r == b {
			return true
		}
	}
	return false
}

// drvPaths finds derivations in a message, whatever the words around them.
var drvPaths = regexp.MustCompile(`/[\w+./?=-]+\.drv`)

// What Nix says, in its build hook, of a machine that could not build, and of a
// build that failed on one (build-remote.cc). Both are errors to Nix, without
// raw_msg as all that the hook says.
var (
	refusal     = regexp.MustCompile(`^cannot build on '([^']+)': `)
	failedThere = regexp.MustCompile(`^error: build of '([^']+)' on '[^']+' failed: (.+)$`)
	logHere     = regexp.MustCompile(`;? [Ll]ast \d+ log lines?:.*$`) // in the same message; the log is had apart
)

// hookMessage takes a message of the build hook.
func (l *nixLog) hookMessage(message string) {
	if m := refusal.FindStringSubmatch(message); m != nil {
		l.refuse(m[1], message)
	} else if m := failedThere.FindStringSubmatch(message); m != nil {
		// It knows the builder's exit code; what Nix says here later has the hook's.
		if b := l.find(m[1]); b != nil {
			b.message = logHere.ReplaceAllString(m[2], "")
		}
	}
}

func (l *nixLog) refuse(machine, message string) {
	if l.refused[machine] || len(l.refused) >= recentBuilds {
		return
	}
	if l.refused == nil {
		l.refused = map[string]bool{}
	}
	l.refused[machine] = true
	if l.onRefusal == nil {
		return
	}
	message = strings.Replace(message, machine, machineName(machine), 1)
	if l.plain != "" {
		message += " (" + oneLine(l.plain) + ")"
		l.plain = ""
	}
	l.onRefusal(message)
}

func (l *nixLog) msg(e nixEvent) {
	if e.Level <= levelNotice {
		l.output.add(e.Msg)
	}
	if e.Level != levelError {
		return
	}
	if e.RawMsg == nil { // so are traces
		l.hookMessage(oneLine(e.Msg))
		return
	}
	message := oneLine(*e.RawMsg)
	l.said.add(e.Msg)
	if len(l.errors) < recentBuilds {
		l.errors = append(l.errors, message)
	}
	// A derivation that was being built and that an error names has failed.
	// Those that only depend on it are named too, but were never started.
	for _, drv := range drvPaths.FindAllString(*e.RawMsg, -1) {
		known := slices.ContainsFunc(l.failed, func(b *nixBuild) bool { return b.drv == drv })
		if b := l.find(drv); b != nil && !known {
			b.message = cmp.Or(b.message, message)
			l.failed = append(l.failed, b)
			if !l.isRunning(b) {
				l.tell(nixActivity{kind: report.ActivityBuild, path: b.drv, status: report.Failed})
			}
		}
	}
}

// findRunning is the build of drv that is under way, nil if there is none.
func (l *nixLog) findRunning(drv string) *nixBuild {
	for _, b := range l.running {
		if b.drv == drv && drv != "" {
			return b
		}
	}
	return nil
}

func (l *nixLog) isFetching(path string) bool {
	for _, b := range l.running {
		if b.drv == "" && b.path == path {
			return true
		}
	}
	return false
}

func (l *nixLog) find(drv string) *nixBuild {
	if b := l.findRunning(drv); b != nil {
		return b
	}
	for _, b := range l.recent {
		if b.drv == drv {
			return b
		}
	}
	return nil
}

// failure returns the build that failed first, nil if none is known to have.
func (l *nixLog) failure() *nixBuild {
	if len(l.failed) == 0 {
		return nil
	}
	return l.failed[0]
}

// message is the first error in one line; without one, the last line of output.
func (l *nixLog) message() string {
	if len(l.errors) > 0 {
		return l.errors[0]
	}
	lines := l.output.all()
	if len(lines) == 0 {
		return ""
	}
	return oneLine(lines[len(lines)-1])
}

// lines is the end of what explains a failure: the errors, with their traces,
// or all output if there was none.
func (l *nixLog) lines() []string {
	if said := l.said.all(); len(said) > 0 {
		return said
	}
	return l.output.all()
}

// fetching is how many paths are being fetched.
func (l *nixLog) fetching() int {
	n := 0
	for _, b := range l.running {
		if b.drv == "" {
			n++
		}
	}
	return n
}

// building names the derivations under way, without hash and ".drv", in the
// order in which they were started.
func (l *nixLog) building() []string {
	builds := map[*nixBuild]bool{} // each once, whatever tells of it
	var names []string
	for _, id := range slices.Sorted(maps.Keys(l.running)) { // Nix counts them up
		if b := l.running[id]; b.drv != "" && !builds[b] {
			builds[b] = true
			names = append(names, drvName(b.drv))
		}
	}
	return names
}

// drvName is the name of a derivation: what follows the hash in its path. A
// builder can put activities of its own making into the log, so it is cleaned.
func drvName(drv string) string { return report.PathName(report.Line(drv)) }

func (e *nixEvent) str(i int) string {
	var s string
	if i < len(e.Fields) && json.Unmarshal(e.Fields[i], &s) == nil {
		return s
	}
	return ""
}

func (e *nixEvent) num(i int) int {
	var n int
	if i < len(e.Fields) && json.Unmarshal(e.Fields[i], &n) == nil {
		return n
	}
	return 0
}
