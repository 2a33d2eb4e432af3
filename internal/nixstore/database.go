package nixstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"gitlab.com/pantheros/pantheros/internal/nix"

	_ "modernc.org/sqlite" // the driver named "sqlite"
)

// errNoDatabase says that the database cannot be used and Nix must be asked.
var errNoDatabase = errors.New("the store's database cannot be read")

// database opens Nix's database without ever writing to it. Schema: tables
// ValidPaths and Refs of Nix's libstore/schema.sql, the same since Nix 2.4.
func (s *Store) database(ctx context.Context) (*sql.DB, error) {
	file := s.stateDir + "/db/db.sqlite"
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errNoDatabase, err)
	}
	f.Close()
	// A URI needs its special characters escaped; the path is otherwise verbatim.
	uri := "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(file)
	modes := []string{"?mode=ro&_pragma=busy_timeout(5000)"}
	// A database in WAL mode cannot be opened read-only on a read-only file
	// system. Immutable reading is right only while there is no log: rows
	// that are committed in one would be missed.
	if _, err := os.Lstat(file + "-wal"); errors.Is(err, fs.ErrNotExist) {
		modes = append(modes, "?mode=ro&immutable=1")
	}
	var last error
	for _, mode := range modes {
		db, err := sql.Open("sqlite", uri+mode)
		if err != nil {
			last = err
			continue
		}
		var n int
		if err := db.QueryRowContext(ctx, "select count(*) from (select 1 from ValidPaths limit 1)").Scan(&n); err != nil {
			db.Close()
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			last = err
			continue
		}
		return db, nil
	}
	return nil, fmt.Errorf("%w: %s: %v", errNoDatabase, file, last)
}

// closureFromDatabase reads the infos of everything reachable from roots.
func closureFromDatabase(ctx context.Context, db *sql.DB, s *Store, roots []nix.StorePath) ([]nix.PathInfo, error) {
	// One transaction: a snapshot, whatever Nix does meanwhile.
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("read the database of %s: %v", s, err)
	}
	defer tx.Rollback()
	c := closureRead{index: make(map[int64]int)}
	for _, p := range roots {
		var id int64
		err := tx.QueryRowContext(ctx, "select id from ValidPaths where path = ?", string(p)).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return nil, &NotValidError{Path: p, Store: s.String()}
		}
		if err != nil {
			return nil, fmt.Errorf("look up %s in %s: %v", p, s, err)
		}
		c.want(id)
	}
	// Level by level: one recursive query would do its work twice, for the
	// infos and for the references, and costs more than these.
	for c.read < len(c.ids) {
		level := c.ids[c.read:min(len(c.ids), c.read+levelLimit)]
		c.read += len(level)
		in := inList(level)
		if err := c.readInfos(ctx, tx, in); err != nil {
			return nil, fmt.Errorf("read the closure from %s: %v", s, err)
		}
		if err := c.readReferences(ctx, tx, in); err != nil {
			return nil, fmt.Errorf("read references from %s: %v", s, err)
		}
	}
	return c.closure(s)
}

// levelLimit is how many rows one query asks for: their ids stand in its text,
// and SQLite takes a text of a million bytes.
const levelLimit = 10_000

func inList(ids []int64) string {
	b := []byte("(")
	for i, id := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, id, 10)
	}
	return string(append(b, ')'))
}

// closureRead is a closure while it is read. Rows are known by their ids.
type closureRead struct {
	ids   []int64        // wanted, in the order in which they were met
	read  int            // how many of them were asked for
	index map[int64]int  // of ids and infos
	infos []nix.PathInfo // zero until the row was found
	edges []edge
}

type edge struct{ from, to int }

// want returns the index of a row, which is read if it was not yet.
func (c *closureRead) want(id int64) int {
	i, ok := c.index[id]
	if !ok {
		i = len(c.ids)
		c.index[id] = i
		c.ids = append(c.ids, id)
		c.infos = append(c.infos, nix.PathInfo{})
	}
	return i
}

func (c *closureRead) readInfos(ctx context.Context, tx *sql.Tx, in string) error {
	rows, err := tx.QueryContext(ctx, "select id, path, hash, narSize, deriver, sigs, ca from ValidPaths where id in "+in)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var (
			id                    int64
			path, hash            string
			size                  sql.NullInt64
			deriver, sigs, caText sql.NullString
		)
		if err := rows.Scan(&id, &path, &hash, &size, &deriver, &sigs, &caText); err != nil {
			return err
		}
		info, err := makeInfo(path, hash, size.Int64, deriver.String, strings.Fields(sigs.String), caText.String)
		if err != nil {
			return err
		}
		c.infos[c.index[id]] = info
	}
	return rows.Err()
}

func (c *closureRead) readReferences(ctx context.Context, tx *sql.Tx, in string) error {
	rows, err := tx.QueryContext(ctx, "select referrer, reference from Refs where referrer in "+in)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var from, to int64
		if err := rows.Scan(&from, &to); err != nil {
			return err
		}
		c.edges = append(c.edges, edge{c.index[from], c.want(to)})
	}
	return rows.Err()
}

// closure gives the infos their references.
func (c *closureRead) closure(s *Store) ([]nix.PathInfo, error) {
	if slices.ContainsFunc(c.infos, func(p nix.PathInfo) bool { return p.Path == "" }) {
		return nil, fmt.Errorf("the database of %s is inconsistent: a reference to a missing row (nix-store --verify tells more)", s)
	}
	for _, e := range c.edges {
		c.infos[e.from].References = append(c.infos[e.from].References, c.infos[e.to].Path)
	}
	return c.infos, nil
}

// makeInfo checks what a database or the nix command says of a path.
func makeInfo(path, hash string, size int64, deriver string, sigs []string, ca string) (info nix.PathInfo, err error) {
	dir := path[:max(strings.LastIndexByte(path, '/'), 0)]
	if info.Path, err = nix.ParseStorePath(dir, path); err != nil {
		return info, err
	}
	if info.NARHash, err = nix.ParseHash(hash); err != nil {
		return info, fmt.Errorf("%s: %v", path, err)
	}
	if size <= 0 {
		return info, fmt.Errorf("%s: its NAR size is not known", path)
	}
	info.NARSize = size
	if deriver != "" && deriver != "unknown-deriver" {
		if info.Deriver, err = nix.ParseStorePath(dir, deriver); err != nil {
			return info, fmt.Errorf("%s: its deriver: %v", path, err)
		}
	}
	info.Signatures = parseSignatures(sigs)
	info.CA = ca
	return info, nil
}

// parseSignatures leaves out what cannot be read: as in a narinfo it proves
// nothing.
func parseSignatures(texts []string) (sigs []nix.Signature) {
	for _, text := range texts {
		if sig, err := nix.ParseSignature(text); err == nil {
			sigs = append(sigs, sig)
		}
	}
	return sigs
}
