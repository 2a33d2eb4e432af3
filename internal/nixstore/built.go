package nixstore

import (
	"context"
	"crypto/sha1"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"gitlab.com/pantheros/pantheros/internal/nix"

	"golang.org/x/sys/unix"
)

// opAddIndirectRoot of the daemon's protocol.
const opAddIndirectRoot = 12

// Built tells what has become valid in a store. It is for one goroutine.
type Built struct {
	s    *Store
	last int64 // id of the newest row seen
	all  bool
}

// WatchBuilt starts to watch what is built in the store from now on, or, if
// all, also what is substituted or added. It reads Nix's database, so it works
// on this machine only, whoever builds; ids of its rows grow (ValidPaths.id is
// autoincrement), and ultimate marks what was built here.
func (s *Store) WatchBuilt(ctx context.Context, all bool) (*Built, error) {
	b := &Built{s: s, all: all}
	err := b.query(ctx, func(db *sql.DB) error {
		return db.QueryRowContext(ctx, "select coalesce(max(id), 0) from ValidPaths").Scan(&b.last)
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// query opens the database anew: a connection that had to be made while there
// was no log would not see what is written to one.
func (b *Built) query(ctx context.Context, f func(*sql.DB) error) error {
	db, err := b.s.database(ctx)
	if err == nil {
		err = f(db)
		db.Close()
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("watch what is built in %s: %v", b.s, err)
	}
	return err
}

// New returns what has become valid since the last call, oldest first.
func (b *Built) New(ctx context.Context) ([]nix.StorePath, error) {
	query := "select id, path from ValidPaths where id > ? and coalesce(ultimate, 0) = 1 order by id"
	if b.all {
		query = "select id, path from ValidPaths where id > ? order by id"
	}
	var paths []nix.StorePath
	newest := b.last
	err := b.query(ctx, func(db *sql.DB) error {
		rows, err := db.QueryContext(ctx, query, b.last)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var text string
			if err := rows.Scan(&newest, &text); err != nil {
				return err
			}
			p, err := nix.ParseStorePath(b.s.dir, text)
			if err != nil {
				return err
			}
			paths = append(paths, p)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	b.last = newest
	return paths, nil
}

// AddIndirectRoot keeps the path that the symbolic link at file (absolute)
// points to from being collected, for as long as that link exists: what Nix
// does for ./result. Where the store's state can be written it is done by
// hand, in a millisecond; otherwise the daemon is asked.
func (s *Store) AddIndirectRoot(ctx context.Context, file string) error {
	if !filepath.IsAbs(file) {
		return fmt.Errorf("garbage collector root %q is not absolute", file)
	}
	auto := s.stateDir + "/gcroots/auto"
	if unix.Access(auto, unix.W_OK) == nil {
		// The name is what Nix gives it, so that the two never make a second.
		sum := sha1.Sum([]byte(file))
		link := auto + "/" + nix.EncodeBase32(sum[:])
		err := os.Symlink(file, link)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("register a garbage collector root: %v", err)
		}
		return nil
	}
	c, err := s.connect(ctx)
	if err != nil {
		return fmt.Errorf("register a garbage collector root: %v", err)
	}
	defer c.raw.Close()
	stop := context.AfterFunc(ctx, func() { c.raw.Close() })
	defer stop()
	c.putInt(opAddIndirectRoot)
	c.putString(file)
	if err := c.w.Flush(); err != nil {
		return fmt.Errorf("register a garbage collector root: %v", err)
	}
	if err := c.untilLast(); err != nil {
		return fmt.Errorf("register a garbage collector root: %v", err)
	}
	if _, err := c.int(); err != nil {
		return fmt.Errorf("register a garbage collector root: %v", err)
	}
	return nil
}
