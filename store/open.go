package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/upgradegate/upgradegate/internal/filelock"
	"github.com/upgradegate/upgradegate/upgrade"
)

//go:embed migrations/*.sql
var migrations embed.FS

// readers is how many pages and requests may read at once.
const readers = 4

// Config says which database to open.
type Config struct {
	URL string       // sqlite:///absolute/path.db or sqlite:path.db
	Log *slog.Logger // must be set
}

// Store is an open database. Its methods may be called from many goroutines at once.
type Store struct {
	dialect dialect
	write   *pool         // one connection, whose commits wait for the disk
	lease   *pool         // one connection, whose commits do not: see updateLeases
	turn    chan struct{} // held by who writes: SQLite has one writer, and a queue in Go is fair where its busy handler is not
	read    *pool         // cannot write
	log     *slog.Logger
	lock    *filelock.Lock
	inbox   *inbox
	woken   chan struct{}
	changed ticker
	seen    *evidences
	close   func() error
}

// Open opens the database, creating and migrating it as needed. The folder must exist. Errors:
// CodeInvalid for an address that cannot be used, CodeConflict while another process has the database
// open or when a newer version of the program has written it.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Log == nil {
		return nil, errors.New("open the database: no logger was given")
	}
	path, err := sqlitePath(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	if err := checkFolder(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("open the database %s: %w", path, err)
	}
	lock, err := filelock.Take(path+".lock", "the database "+path) // whoever holds it may take every lease for one of a dead process
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	s := &Store{dialect: sqliteDialect(), log: cfg.Log, lock: lock, woken: make(chan struct{}, 1), seen: &evidences{}, turn: make(chan struct{}, 1)}
	s.close = sync.OnceValue(s.shut)
	if err := s.start(ctx, path); err != nil {
		return nil, errors.Join(fmt.Errorf("open the database %s: %w", path, err), s.Close())
	}
	return s, nil
}

// start opens both pools and brings the schema up to date.
func (s *Store) start(ctx context.Context, path string) error {
	// Made here so that nobody else can read it: deliveries may hold what their senders wrote to
	// nobody else. SQLite gives the same mode to the files that it puts beside it.
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the path is the operator's own
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	if s.write, err = openPool(sqliteWriter(path), 1); err != nil {
		return err
	}
	if err := s.migrate(ctx); err != nil {
		return err
	}
	if err := s.fillSearch(ctx); err != nil {
		return err
	}
	if s.lease, err = openPool(sqliteLeaser(path), 1); err != nil {
		return err
	}
	if s.read, err = openPool(sqliteReader(path), readers); err != nil {
		return err
	}
	s.inbox = newInbox(context.WithoutCancel(ctx), s)
	return s.Ping(ctx)
}

func checkFolder(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("the folder %s does not exist", dir), Hint: "create it, or correct the path"}
	case err != nil:
		return err
	case !info.IsDir():
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: dir + " is not a folder", Hint: "correct the path"}
	}
	return nil
}

// migrate brings the schema up to date. It never goes back: a database of a newer version is refused.
func (s *Store) migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(s.dialect.goose, s.write.DB, files,
		goose.WithSlog(slog.New(slog.DiscardHandler)), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	current, newest, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	if current > newest {
		return &upgrade.Error{
			Code: upgrade.CodeConflict,
			Msg:  fmt.Sprintf("its schema is version %d and this program knows %d at most", current, newest),
			Hint: "run the newer upgradegate that wrote it",
		}
	}
	done, err := provider.Up(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if len(done) > 0 {
		s.log.InfoContext(ctx, "database migrated", "from", current, "to", newest)
	}
	return nil
}

// Ping reports by a nil error that the database answers on every way to it.
func (s *Store) Ping(ctx context.Context) error {
	for _, pool := range []*pool{s.read, s.lease, s.write} {
		var one int
		if err := pool.QueryRowContext(ctx, "SELECT 1").Scan(&one); err != nil {
			return s.fail("ask the database", err)
		}
	}
	return nil
}

// Close ends the store. Deliveries that wait for their transaction are still written; a delivery or
// commit after that fails. It may be called twice.
func (s *Store) Close() error { return s.close() }

func (s *Store) shut() error {
	var errs []error
	if s.inbox != nil {
		s.inbox.stop()
	}
	for _, pool := range []*pool{s.read, s.lease, s.write} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	if err := errors.Join(append(errs, s.lock.Release())...); err != nil {
		return fmt.Errorf("close the database: %w", err)
	}
	return nil
}

// checkFile refuses a path at which there is no file: opening would make an empty database.
func checkFile(path string) error {
	if info, err := os.Stat(path); err != nil || info.IsDir() {
		return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("there is no database at %s", path), Hint: "give the address that database: has in the configuration", Cause: err}
	}
	return nil
}
