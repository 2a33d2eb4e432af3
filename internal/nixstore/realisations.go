package nixstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"gitlab.com/pantheros/pantheros/internal/nix"
)

// Realisations returns, for the outputs of content-addressed derivations that
// this store knows, which derivations they are of, by path. It is empty for a
// store without any, and for one whose database cannot be read: then Nix would
// have to be asked derivation by derivation.
//
// Tables: Realisations and RealisationsRefs of Nix's ca-specific-schema.sql
// from 2.4 to 2.34, BuildTraceV3 from 2.35 on. A store that both have used has
// both. In the older ones the resolved derivation is the path's deriver.
func (s *Store) Realisations(ctx context.Context) (map[nix.StorePath][]nix.Realisation, error) {
	db, err := s.database(ctx)
	if errors.Is(err, errNoDatabase) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("read the database of %s: %v", s, err)
	}
	defer tx.Rollback()
	var found []nix.Realisation
	for _, t := range []struct {
		table string
		read  func(context.Context, *sql.Tx) ([]nix.Realisation, error)
	}{{"RealisationsRefs", flatRealisations}, {"BuildTraceV3", buildTrace}} {
		var n int
		if err := tx.QueryRowContext(ctx, "select count(*) from sqlite_master where type = 'table' and name = ?", t.table).Scan(&n); err != nil {
			return nil, fmt.Errorf("read the database of %s: %v", s, err)
		}
		if n == 0 {
			continue
		}
		rs, err := t.read(ctx, tx)
		if err != nil {
			return nil, fmt.Errorf("read realisations from %s: %v", s, err)
		}
		found = append(found, rs...)
	}
	byPath := make(map[nix.StorePath][]nix.Realisation)
	for _, r := range found {
		byPath[r.Path] = append(byPath[r.Path], r)
	}
	return byPath, nil
}

// flatRealisations reads the tables of Nix 2.4 to 2.34.
func flatRealisations(ctx context.Context, tx *sql.Tx) ([]nix.Realisation, error) {
	rows, err := tx.QueryContext(ctx, "select r.id, r.drvPath, r.outputName, r.signatures, v.path, v.deriver, v.ca from Realisations r join ValidPaths v on v.id = r.outputPath order by r.id")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []nix.Realisation
	index := make(map[int64]int)
	for rows.Next() {
		var (
			id                int64
			hash, output      string
			path              string
			sigs, deriver, ca sql.NullString
		)
		if err := rows.Scan(&id, &hash, &output, &sigs, &path, &deriver, &ca); err != nil {
			return nil, err
		}
		r, err := makeRealisation(path, output)
		if err != nil {
			return nil, err
		}
		r.DrvHash, r.Signatures = hash, parseSignatures(strings.Fields(sigs.String))
		if err := nix.CheckRealisationID(r.ID()); err != nil {
			return nil, err
		}
		// The path of what is not content-addressed is known from the resolved
		// derivation itself, so no build trace has it.
		if ca.String != "" && deriver.String != "" && deriver.String != "unknown-deriver" {
			if r.Drv, err = nix.ParseStorePath(r.Path.Dir(), deriver.String); err != nil {
				return nil, err
			}
		}
		index[id] = len(found)
		found = append(found, r)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	refs, err := tx.QueryContext(ctx, "select referrer, realisationReference from RealisationsRefs where realisationReference is not null")
	if err != nil {
		return nil, err
	}
	defer refs.Close()
	for refs.Next() {
		var from, to int64
		if err := refs.Scan(&from, &to); err != nil {
			return nil, err
		}
		i, ok := index[from]
		j, ok2 := index[to]
		if !ok || !ok2 {
			continue // of a path that is no longer valid
		}
		if found[i].Dependent == nil {
			found[i].Dependent = make(map[string]nix.StorePath)
		}
		found[i].Dependent[found[j].ID()] = found[j].Path
	}
	return found, refs.Err()
}

// buildTrace reads the table of Nix from 2.35 on. Its derivations are base
// names, its outputs full paths, which need not be valid any more.
func buildTrace(ctx context.Context, tx *sql.Tx) ([]nix.Realisation, error) {
	rows, err := tx.QueryContext(ctx, "select b.drvPath, b.outputName, b.signatures, b.outputPath from BuildTraceV3 b join ValidPaths v on v.path = b.outputPath order by b.id")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []nix.Realisation
	for rows.Next() {
		var drv, output, path string
		var sigs sql.NullString
		if err := rows.Scan(&drv, &output, &sigs, &path); err != nil {
			return nil, err
		}
		r, err := makeRealisation(path, output)
		if err != nil {
			return nil, err
		}
		r.TraceSignatures = parseSignatures(strings.Fields(sigs.String))
		if r.Drv, err = nix.BaseStorePath(r.Path.Dir(), drv); err != nil {
			return nil, err
		}
		found = append(found, r)
	}
	return found, rows.Err()
}

// makeRealisation checks what both kinds of tables have.
func makeRealisation(path, output string) (r nix.Realisation, err error) {
	if r.Path, err = nix.ParseStorePath(path[:max(strings.LastIndexByte(path, '/'), 0)], path); err != nil {
		return r, err
	}
	r.Output = output
	return r, nix.CheckOutputName(output)
}
