package store

import (
	"context"
	"database/sql"
	"errors"
	"sync"
)

// maxStatements is how many statements a pool keeps prepared. The program has fewer; only lists whose
// filters vary could make more.
const maxStatements = 256

// pool is one way to the database, with the statements that were asked before kept prepared: half of what
// a short transaction costs SQLite is to understand the same text again.
type pool struct {
	*sql.DB

	mu       sync.Mutex // guards the fields below
	prepared map[string]*sql.Stmt
	wanted   map[string]bool // asked, and to be prepared as soon as no transaction holds the connection
}

func openPool(dsn string, connections int) (*pool, error) {
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return &pool{DB: db, prepared: map[string]*sql.Stmt{}, wanted: map[string]bool{}}, nil
}

// statement returns the query prepared, nil if it is not yet.
func (p *pool) statement(query string) *sql.Stmt {
	p.mu.Lock()
	defer p.mu.Unlock()
	stmt := p.prepared[query]
	if stmt == nil && len(p.prepared)+len(p.wanted) < maxStatements {
		p.wanted[query] = true
	}
	return stmt
}

// prepare prepares what was asked. The caller holds no connection of the pool. What cannot be prepared is
// asked as text again, which says why.
func (p *pool) prepare(ctx context.Context, d dialect) {
	p.mu.Lock()
	var queries []string
	for query := range p.wanted {
		queries = append(queries, query)
	}
	clear(p.wanted)
	p.mu.Unlock()
	for _, query := range queries {
		stmt, err := p.PrepareContext(ctx, d.sql(query)) //nolint:sqlclosecheck // closed with the pool
		if err != nil {
			continue
		}
		p.mu.Lock()
		if p.prepared[query] == nil {
			p.prepared[query], stmt = stmt, nil
		}
		p.mu.Unlock()
		if stmt != nil { // somebody else was faster
			_ = stmt.Close() // there is nothing to lose
		}
	}
}

// Close closes the statements and every connection.
func (p *pool) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, stmt := range p.prepared {
		errs = append(errs, stmt.Close())
	}
	clear(p.prepared)
	return errors.Join(append(errs, p.DB.Close())...)
}
