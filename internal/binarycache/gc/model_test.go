package gc

import "fmt"

// The protocol of pushes and sweeps, one storage request a step, over every
// interleaving of a few processes, each of which may be killed after any step.
// docs/gc.md numbers the steps alike.
//
// States that were met are not tried again, so the number of interleavings does
// not matter, only that of states. Requests that a process has under way when it
// is killed may still arrive: that is the same as a process that is killed later.
//
// The cache: y refers to x; z has the same NAR as x. An old generation names y.

const (
	x = 1 << iota
	y
	z
)

const (
	narXZ = 1 << iota
	narY
)

// refs are references, narOf NARs, by path.
var (
	refs  = map[int]int{x: 0, y: x, z: 0}
	narOf = map[int]int{x: narXZ, y: narY, z: narXZ}
	paths = []int{x, y, z}
)

func closed(set int) int {
	for _, p := range paths {
		if set&p != 0 {
			set |= refs[p]
		}
	}
	return set
}

func narsOf(set int) (nars int) {
	for _, p := range paths {
		if set&p != 0 {
			nars |= narOf[p]
		}
	}
	return nars
}

const (
	maxPushes = 2
	maxSweeps = 2
	oldRoot   = 1 << 7 // of the manifests: the generation that the policy drops
)

// world is a state: what is in the storage, and where each process is.
type world struct {
	old, fresh uint8 // narinfos that were there, and that were written since
	nars       uint8
	newNARs    uint8 // those that were written since
	roots      uint8 // of pushes, and oldRoot
	leases     uint8 // of pushes
	notices    [maxSweeps]claimed
	push       [maxPushes]pushing
	sweep      [maxSweeps]sweeping
}

// claimed is a notice.
type claimed struct {
	there       bool
	paths, nars uint8
}

type pushing struct {
	at             pushStep
	dead, ok       bool
	found, missing uint8
	left           uint8 // to be asked for or to be sent
}

type sweeping struct {
	at         sweepStep
	dead       bool
	seen       uint8 // narinfos of the census that were fresh then
	seenNARs   uint8 // the same of NARs
	keep       uint8 // paths that stay
	keepNARs   uint8
	doomed     uint8
	doomedNARs uint8
}

type pushStep uint8

const (
	takeLease pushStep = iota
	settle
	ask
	askNAR
	putNAR
	putInfo
	confirm
	putRoot
	release
	pushOver
)

type sweepStep uint8

const (
	announce sweepStep = iota
	listInfos
	listRoots
	dropRoot
	namePaths
	leasesForPaths
	infosForPaths
	rootsForPaths
	deleteInfos
	nameNARs
	leasesForNARs
	infosForNARs
	rootsForNARs
	deleteNARs
	endNotice
	sweepOver
)

// scenario is what runs, and the protocol's mistakes, if any.
type scenario struct {
	pushes []int // the path that each wants
	rooted []bool
	sweeps int
	kills  bool
	empty  bool // only the empty cache to start from
	// noLease: pushes are of a program that knows nothing of leases.
	noLease bool

	// Mutants.
	askFirst, noRelist, leasesFirst, narsFirst, anyOrder, noNARClaim, earlyEnd, earlyRelease, noYoung, noWait bool
}

func (w *world) infos() uint8 { return w.old | w.fresh }

// broken says what no state may be.
func (s *scenario) broken(w *world) string {
	for _, p := range paths {
		if int(w.infos())&p == 0 {
			continue
		}
		if refs[p]&^int(w.infos()) != 0 {
			return fmt.Sprintf("path %d is visible without what it refers to", p)
		}
		if narOf[p]&^int(w.nars) != 0 {
			return fmt.Sprintf("path %d is visible without its NAR", p)
		}
	}
	if w.roots&oldRoot != 0 && y&^w.infos() != 0 {
		return "the old generation has lost its path"
	}
	for i, want := range s.pushes {
		if w.roots&(1<<i) != 0 && closed(want)&^int(w.infos()) != 0 {
			return fmt.Sprintf("the root of push %d has lost a path", i)
		}
	}
	return ""
}

// next yields the states that one step leads to.
func (s *scenario) next(w world, yield func(world)) {
	for i := range s.pushes {
		p := w.push[i]
		if p.at == pushOver || p.dead {
			if p.dead && w.leases&(1<<i) != 0 { // an hour later
				v := w
				v.leases &^= 1 << i
				yield(v)
			}
			continue
		}
		s.pushNext(w, i, yield)
		if s.kills {
			v := w
			v.push[i] = pushing{at: p.at, dead: true}
			yield(v)
		}
	}
	for i := range s.sweeps {
		if sw := w.sweep[i]; sw.at == sweepOver || sw.dead {
			if sw.dead && w.notices[i].there { // two minutes later
				v := w
				v.notices[i] = claimed{}
				yield(v)
			}
			continue
		}
		s.sweepNext(w, i, yield)
		if s.kills {
			v := w
			v.sweep[i] = sweeping{dead: true}
			yield(v)
		}
	}
}

// lowest is the first path of a set: references first.
func lowest(set uint8) uint8 { return set & -set }

// highest is the last one: referrers first.
func highest(set uint8) uint8 {
	for p := uint8(z); p > 0; p >>= 1 {
		if set&p != 0 {
			return p
		}
	}
	return 0
}

func (s *scenario) claimOf(i int) (ps, ns uint8) {
	ps = uint8(closed(s.pushes[i]))
	if !s.noNARClaim {
		ns = uint8(narsOf(closed(s.pushes[i])))
	}
	return ps, ns
}

func (s *scenario) pushNext(w world, i int, yield func(world)) {
	p := &w.push[i]
	want := uint8(s.pushes[i])
	afterAsking := func() {
		if p.missing != 0 {
			p.at, p.left = askNAR, p.missing
		} else {
			p.at = putRoot
		}
	}
	meets := func() bool {
		ps, ns := s.claimOf(i)
		for _, n := range w.notices {
			if n.there && (n.paths&ps != 0 || n.nars&ns != 0) {
				return true
			}
		}
		return false
	}
	switch p.at {
	case takeLease:
		if !s.noLease {
			w.leases |= 1 << i
		}
		p.at, p.left = settle, want
		if s.askFirst {
			p.at = ask
		}
	case settle:
		if meets() && !s.noWait {
			return // it waits
		}
		if s.askFirst {
			afterAsking()
		} else {
			p.at = ask
		}
	case ask: // from the top down, as far as is missing
		q := highest(p.left)
		p.left &^= q
		if w.infos()&q != 0 {
			p.found |= q
		} else {
			p.missing |= q
			p.left |= uint8(refs[int(q)])
		}
		if p.left == 0 {
			if s.askFirst {
				p.at = settle
			} else {
				afterAsking()
			}
		}
	case askNAR:
		q := lowest(p.left)
		p.at = putNAR
		if w.nars&uint8(narOf[int(q)]) != 0 {
			p.at = putInfo
		}
	case putNAR:
		n := uint8(narOf[int(lowest(p.left))])
		w.nars |= n
		w.newNARs |= n
		p.at = putInfo
	case putInfo:
		q := lowest(p.left)
		w.old &^= q
		w.fresh |= q
		p.left &^= q
		if p.at = askNAR; p.left == 0 {
			p.at, p.left = confirm, p.found
		}
	case confirm:
		if p.left&^w.infos() != 0 { // it fails, and says so
			p.at, p.ok = release, false
			p.left = 0
			break
		}
		p.left = 0
		p.at = putRoot
	case putRoot:
		if s.earlyRelease && w.leases&(1<<i) != 0 {
			w.leases &^= 1 << i
			yield(w)
			return
		}
		if s.rooted[i] {
			w.roots |= 1 << i
		}
		p.at, p.ok = release, true
	case release:
		w.leases &^= 1 << i
		*p = pushing{at: pushOver, ok: p.ok}
	}
	yield(w)
}

// stays is what the manifests and what is young keep, as a sweep sees it.
func (s *scenario) stays(w *world, roots bool, oldRootStays bool) (keep uint8) {
	if roots {
		for i, want := range s.pushes {
			if w.roots&(1<<i) != 0 {
				keep |= uint8(closed(want))
			}
		}
		if oldRootStays && w.roots&oldRoot != 0 {
			keep |= uint8(closed(y))
		}
	}
	return keep
}

func (s *scenario) sweepNext(w world, i int, yield func(world)) {
	sw := &w.sweep[i]
	hold := func() {
		for j := range s.pushes {
			if w.leases&(1<<j) != 0 {
				ps, ns := s.claimOf(j)
				sw.keep |= uint8(closed(int(ps)))
				sw.keepNARs |= ns
			}
		}
	}
	// settleKeep closes what is kept.
	settleKeep := func() {
		sw.keep = uint8(closed(int(sw.keep)))
		sw.keepNARs |= uint8(narsOf(int(sw.keep)))
		sw.doomed &^= sw.keep
		sw.doomedNARs &^= sw.keepNARs
	}
	switch sw.at {
	case announce:
		w.notices[i] = claimed{there: true}
		sw.at = listInfos
	case listInfos:
		sw.seen, sw.seenNARs = w.fresh, w.newNARs
		if !s.noYoung {
			sw.keep = uint8(closed(int(w.fresh)))
			sw.keepNARs = w.newNARs
		}
		sw.doomed, sw.doomedNARs = w.infos(), w.nars
		sw.at = listRoots
	case listRoots:
		sw.keep |= s.stays(&w, true, false)
		settleKeep()
		sw.at = dropRoot
	case dropRoot:
		w.roots &^= oldRoot
		if sw.at = namePaths; s.leasesFirst {
			sw.at = leasesForPaths
		}
	case namePaths:
		w.notices[i].paths, w.notices[i].nars = sw.doomed, 0
		if sw.at = leasesForPaths; s.leasesFirst {
			sw.at = infosForPaths
		}
		if sw.doomed == 0 {
			sw.at = nameNARs
		}
		if s.narsFirst {
			w.notices[i].nars = sw.doomedNARs
		}
	case leasesForPaths:
		hold()
		settleKeep()
		if sw.at = infosForPaths; s.leasesFirst {
			sw.at = namePaths
		}
	case infosForPaths:
		if !s.noRelist {
			sw.keep |= w.fresh &^ sw.seen
			sw.keepNARs |= w.newNARs &^ sw.seenNARs
			settleKeep()
		}
		sw.at = rootsForPaths
	case rootsForPaths:
		if !s.noRelist {
			sw.keep |= s.stays(&w, true, true)
			settleKeep()
		}
		if sw.at = deleteInfos; s.narsFirst {
			sw.at = deleteNARs
		}
	case deleteInfos:
		if s.earlyEnd {
			w.notices[i] = claimed{}
		}
		if sw.doomed == 0 {
			if sw.at = nameNARs; s.narsFirst {
				sw.at = endNotice
			}
			break
		}
		// Those that nothing refers to which goes, in any order.
		for _, p := range paths {
			q := uint8(p)
			if sw.doomed&q == 0 {
				continue
			}
			if p == x && sw.doomed&y != 0 && !s.anyOrder {
				continue
			}
			v := w
			v.old &^= q
			v.fresh &^= q
			v.sweep[i].doomed &^= q
			yield(v)
		}
		return
	case nameNARs:
		w.notices[i].paths, w.notices[i].nars = 0, sw.doomedNARs
		sw.at = leasesForNARs
		if sw.doomedNARs == 0 {
			sw.at = endNotice
		}
	case leasesForNARs:
		hold()
		settleKeep()
		sw.at = infosForNARs
	case infosForNARs:
		if !s.noRelist {
			sw.keep |= w.fresh &^ sw.seen
			sw.keepNARs |= w.newNARs &^ sw.seenNARs
			settleKeep()
		}
		sw.at = rootsForNARs
	case rootsForNARs:
		if !s.noRelist {
			sw.keep |= s.stays(&w, true, true)
			settleKeep()
		}
		sw.at = deleteNARs
	case deleteNARs:
		if sw.doomedNARs == 0 {
			if sw.at = endNotice; s.narsFirst {
				sw.at = deleteInfos
			}
			break
		}
		for n := uint8(1); n <= narY; n <<= 1 {
			if sw.doomedNARs&n != 0 {
				v := w
				v.nars &^= n
				v.newNARs &^= n
				v.sweep[i].doomedNARs &^= n
				yield(v)
			}
		}
		return
	case endNotice:
		w.notices[i] = claimed{}
		*sw = sweeping{at: sweepOver}
	}
	yield(w)
}
