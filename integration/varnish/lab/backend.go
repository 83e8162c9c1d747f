package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Marker is what every page of a back end contains unless it was told otherwise.
const Marker = "site-marker"

// Backend is a web server behind Varnish. "/" may be cached for 2 s, "/nocache" may not be cached,
// "/healthz" is for Varnish's own probe, "/big" is 200 kB.
type Backend struct {
	name   string
	listen func() (net.Listener, error)

	mu     sync.Mutex // guards the fields below
	server *http.Server
	served chan struct{}
	page   string
	status int
	hang   chan struct{} // not nil: requests wait until it is closed
}

func newBackend(name string, listen func() (net.Listener, error)) *Backend {
	return &Backend{name: name, listen: listen, page: Marker, status: http.StatusOK}
}

// Start listens. Error: CodeConflict when it runs already.
func (b *Backend) Start() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.server != nil {
		return &upgrade.Error{Code: upgrade.CodeConflict, Msg: b.name + " runs already"}
	}
	ln, err := b.listen()
	if err != nil {
		return fmt.Errorf("start back end %s: %w", b.name, err)
	}
	server := &http.Server{Handler: b, ReadHeaderTimeout: 5 * time.Second}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(ln) // ends by Stop only
	}()
	b.server, b.served = server, served
	return nil
}

// Stop closes the listener and every connection, as a process that dies does. Stopping twice is fine.
func (b *Backend) Stop() error {
	b.mu.Lock()
	server, served := b.server, b.served
	b.server = nil
	b.unhangLocked()
	b.mu.Unlock()
	if server == nil {
		return nil
	}
	err := server.Close()
	<-served
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Serve makes every page answer with a status and a text from now on; Varnish's probe is answered as
// before, as it is by a web server that serves another site.
func (b *Backend) Serve(status int, page string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status, b.page = status, page
}

// Hang makes requests for pages wait, until Unhang or Stop.
func (b *Backend) Hang() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.hang == nil {
		b.hang = make(chan struct{})
	}
}

// Unhang lets waiting requests go on.
func (b *Backend) Unhang() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unhangLocked()
}

func (b *Backend) unhangLocked() {
	if b.hang != nil {
		close(b.hang)
		b.hang = nil
	}
}

// ServeHTTP answers a request.
func (b *Backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	page, status, hang := b.page, b.status, b.hang
	b.mu.Unlock()
	w.Header().Set("Server", "lab")
	w.Header().Set("X-Served-By", b.name)
	w.Header().Set("Cache-Control", "max-age=2")
	switch r.URL.Path {
	case "/healthz":
		_, _ = io.WriteString(w, "ok") // whoever asked may be gone
		return
	case "/nocache":
		w.Header().Set("Cache-Control", "no-store")
	case "/big":
		w.Header().Set("Cache-Control", "no-store")
		page += string(make([]byte, 200_000))
	}
	if hang != nil {
		select {
		case <-hang:
		case <-r.Context().Done():
			return
		}
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, page+" "+b.name+"\n") // whoever asked may be gone
}

// wait pauses for d, or until ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
