// Package audit compares a cache with what it says of itself, and believes none
// of it: what can be computed from the bytes is computed again.
package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/binarycache/census"
	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

// Level is how closely a cache is looked at. Each includes those before it.
type Level int

const (
	// Listing looks at names, sizes, narinfos, signatures, closures and roots. No NAR
	// is read.
	Listing Level = iota
	// Files reads the files of NARs and computes their hashes.
	Files
	// Full unpacks NARs and computes their hashes.
	Full
)

var levelNames = []string{"listing", "files", "full"}

// String is the level's name.
func (l Level) String() string { return levelNames[l] }

// ParseLevel reads the name of a level.
func ParseLevel(s string) (Level, error) {
	if i := slices.Index(levelNames, s); i >= 0 {
		return Level(i), nil
	}
	return 0, fmt.Errorf("level %q: want %s", s, strings.Join(levelNames, ", "))
}

// Kind is what is wrong.
type Kind string

// What can be wrong. The first ones are damage: a client fails or gets what
// nobody vouched for. The others are not, but somebody may want to know.
const (
	NARInfoDamaged   Kind = "narinfo-damaged"   // it cannot be read, or is another path's
	Unsigned         Kind = "unsigned"          // no good signature of a key of the cache
	NARMissing       Kind = "nar-missing"       // the narinfo's NAR is not there
	FileDamaged      Kind = "file-damaged"      // its file has not the size or hash that the narinfo says
	NARDamaged       Kind = "nar-damaged"       // the NAR in it has not, or cannot be unpacked
	ReferenceMissing Kind = "reference-missing" // a visible path refers to one that is not there
	RootDamaged      Kind = "root-damaged"      // the manifest cannot be read
	RootIncomplete   Kind = "root-incomplete"   // a path of its closure is not there
	ListingDamaged   Kind = "listing-damaged"   // the list of a path's files is not that of its NAR
	OrphanDamaged    Kind = "orphan-damaged"    // a NAR that no narinfo names, and that a push would take for what its name says

	OrphanNAR     Kind = "orphan-nar"     // no narinfo names it
	OrphanListing Kind = "orphan-listing" // its path is not there
	Foreign       Kind = "foreign"        // neither pcache nor Nix puts such an object there
)

// Damage says whether it is damage.
func (k Kind) Damage() bool { return k != OrphanNAR && k != OrphanListing && k != Foreign }

// Finding is one thing that is wrong.
type Finding struct {
	Kind   Kind   `json:"kind"`
	Damage bool   `json:"damage"`
	Key    string `json:"key"`            // of the object
	Path   string `json:"path,omitempty"` // the store path that suffers
	Detail string `json:"detail"`
}

// Options of Run.
type Options struct {
	Name   string // of the cache in messages, without credentials
	Reader blob.Reader
	// Store is the same, to be listed; nil if it cannot be. Then, or where
	// Paths are given, only the closures of Paths are looked at.
	Store blob.Store
	Paths []nix.StorePath
	// Keys must have signed each path; nil: those that the cache lists. Where
	// it lists none either, signatures are not looked at.
	Keys  []nix.PublicKey
	Level Level
	// Upstreams are asked for what the cache leaves to them.
	Upstreams []binarycache.UpstreamCache
	// Journal, if not nil, remembers which NARs were found good.
	Journal *Journal
	// Progress, if not nil, counts the files of NARs that have been read, and
	// their bytes.
	Progress *cache.Progress
}

// Result is what Run found. Damaged and Census are for whoever mends it.
type Result struct {
	Findings []Finding // damage first, then by key
	Damaged  int       // findings that are damage
	Paths    int       // that the cache has
	Roots    int
	NARs     int             // that were read
	Bytes    int64           // of their files
	Known    int             // NARs that the journal had as good
	Left     int             // paths that the cache leaves to upstreams
	Trusted  []nix.PublicKey // the keys that signatures were held against

	Census *census.Census
	// Broken are the paths that cannot be had from the cache as they should,
	// and why: those with a damaged narinfo or NAR, and those that are not
	// there though something refers to them.
	Broken map[census.ID]Kind
	// Files are the true sizes and hashes of the files of those paths of Broken
	// whose NAR is as it should be.
	Files map[census.ID]File
	// BadFiles are the keys of NARs whose bytes are not what they should be.
	BadFiles map[string]bool
}

// File is what was computed of a NAR's file.
type File struct {
	Size int64
	Hash nix.Hash
}

// auditor is an audit under way.
type auditor struct {
	o Options
	*Result
	mu       sync.Mutex
	unsigned map[census.HashPart]string
}

// Run audits a cache. The error says why it could not; what is wrong with the
// cache is in the result, which is valid as far as it got also with an error.
func Run(ctx context.Context, o Options) (*Result, error) {
	a := &auditor{
		o: o, unsigned: make(map[census.HashPart]string),
		Result: &Result{Broken: make(map[census.ID]Kind), Files: make(map[census.ID]File), BadFiles: make(map[string]bool)},
	}
	if a.o.Progress == nil {
		a.o.Progress = new(cache.Progress)
	}
	err := a.run(ctx)
	slices.SortStableFunc(a.Findings, func(x, y Finding) int {
		switch {
		case x.Damage != y.Damage && x.Damage:
			return -1
		case x.Damage != y.Damage:
			return 1
		}
		return strings.Compare(x.Key+x.Path, y.Key+y.Path)
	})
	return a.Result, err
}

func (a *auditor) run(ctx context.Context) (err error) {
	published, err := binarycache.ReadPublished(ctx, a.o.Reader, a.o.Name)
	if err != nil {
		return err
	}
	if !published.IsCache {
		return &binarycache.RefusedError{Cache: a.o.Name, Reason: "it has no nix-cache-info, so it is no binary cache"}
	}
	if a.o.Keys == nil {
		a.o.Keys = published.Keys
	}
	a.Trusted = a.o.Keys
	_, remote := a.o.Reader.(blob.Remote)
	options := census.Options{Name: a.o.Name, Each: a.signature, Unreadable: !remote}
	if a.o.Store != nil && len(a.o.Paths) == 0 {
		a.Census, err = census.Take(ctx, a.o.Store, options)
	} else {
		a.Census, err = census.Walk(ctx, a.o.Reader, a.o.Paths, options)
	}
	if err != nil {
		return err
	}
	a.narInfos()
	if err := a.closures(ctx); err != nil {
		return err
	}
	targets, err := a.files(ctx)
	if err != nil {
		return err
	}
	a.leftovers()
	if a.o.Level == Listing {
		return nil
	}
	return a.readAll(ctx, targets)
}

func (a *auditor) find(k Kind, key, path, format string, args ...any) {
	a.Findings = append(a.Findings, Finding{Kind: k, Damage: k.Damage(), Key: key, Path: path, Detail: fmt.Sprintf(format, args...)})
	if k.Damage() {
		a.Damaged++
	}
}

// breaks notes that a path cannot be had, for the first reason found.
func (a *auditor) breaks(id census.ID, k Kind) {
	if _, known := a.Broken[id]; !known {
		a.Broken[id] = k
	}
}

// signature looks at the signatures of a narinfo.
func (a *auditor) signature(p *census.Path, n nix.NARInfo) {
	if len(a.o.Keys) == 0 {
		return
	}
	if _, err := n.ContentAddressed(); n.CA != "" && err == nil {
		return // its name says what is in it, and clients compare that
	}
	if _, ok := n.SignedBy(a.o.Keys); ok {
		return
	}
	var names []string
	for _, s := range n.Signatures {
		names = append(names, s.Name)
	}
	text := "it has no signature"
	if len(names) > 0 {
		text = "none of its signatures (" + strings.Join(names, ", ") + ") is a good one of the cache's keys"
	}
	a.mu.Lock()
	a.unsigned[p.Hash] = text
	a.mu.Unlock()
}

func (a *auditor) narInfos() {
	for i := range a.Census.Paths {
		p := &a.Census.Paths[i]
		if !p.Listed {
			continue
		}
		a.Paths++
		if p.Problem != nil {
			a.find(NARInfoDamaged, p.Key(), string(p.Path), "%v", p.Problem)
			a.breaks(census.ID(i), NARInfoDamaged)
			continue
		}
		if text, bad := a.unsigned[p.Hash]; bad {
			a.find(Unsigned, p.Key(), string(p.Path), "%s", text)
			a.breaks(census.ID(i), Unsigned)
		}
	}
}

// orphans are the NARs that no narinfo names.
func orphans(c *census.Census) (all []census.Object) {
	used := make(map[string]bool)
	for i := range c.Paths {
		if key, ok := c.Paths[i].NAR(); ok && c.Paths[i].Good() {
			used[key] = true
		}
	}
	for _, o := range c.Objects(census.NAR) {
		if !used[o.Key] {
			all = append(all, o)
		}
	}
	return all
}

// leftovers are objects that belong to nothing.
func (a *auditor) leftovers() {
	c := a.Census
	for _, o := range orphans(c) {
		a.find(OrphanNAR, o.Key, "", "no narinfo names it (gc removes it after its grace period)")
	}
	for _, o := range c.Objects(census.Listing) {
		h, err := census.ParseHashPart(strings.TrimSuffix(o.Key, ".ls"))
		if err != nil {
			continue
		}
		if id, ok := c.Find(h); !ok || !c.Paths[id].Listed {
			a.find(OrphanListing, o.Key, "", "its path is not in the cache")
		}
	}
	for _, o := range c.Objects(census.Foreign) {
		a.find(Foreign, o.Key, "", "neither pcache nor Nix puts an object of this name into a cache")
	}
}
