package server

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// wire is what a reader of a stream got so far.
type wire struct {
	mu     sync.Mutex
	header http.Header
	code   int
	text   strings.Builder
}

func (w *wire) Header() http.Header { return w.header }

func (w *wire) WriteHeader(code int) { w.code = code }

func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *wire) Flush() {}

// take returns what came since the last take, one word per event: its name, and @ its id if it has one.
func (w *wire) take() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var said []string
	for block := range strings.SplitSeq(w.text.String(), "\n\n") {
		name, id := "", ""
		for line := range strings.SplitSeq(block, "\n") {
			if v, ok := strings.CutPrefix(line, "event: "); ok {
				name = v
			}
			if v, ok := strings.CutPrefix(line, "id: "); ok {
				id = "@" + v
			}
			if strings.HasPrefix(line, ":") {
				name = ":"
			}
		}
		if name != "" {
			said = append(said, name+id)
		}
	}
	w.text.Reset()
	return strings.Join(said, " ")
}

// listen opens a stream and returns what it says and how to close it.
func (s *site) listen(ctx context.Context, target, lastID string) (*wire, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	r.Header.Set("Authorization", "Bearer "+managerToken)
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	w := &wire{header: http.Header{}}
	go s.Handler().ServeHTTP(w, r)
	synctest.Wait()
	return w, cancel
}

func gateEvent(run upgrade.RunID) upgrade.Event {
	return upgrade.Event{Run: run, Kind: upgrade.EventGate, Text: "a gate answered"}
}

func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := fullWorld()
		s := newSite(t, w)
		got, cancel := s.listen(t.Context(), "/events?scope=run:481&after=9", "")
		defer cancel()
		if said := got.take(); said != "hello" || got.header.Get("Content-Type") != "text/event-stream" || got.header.Get("X-Accel-Buffering") != "no" {
			t.Fatalf("begins with %q, %v", said, got.header)
		}
		time.Sleep(time.Second)
		w.write(gateEvent(483)) // another run's
		synctest.Wait()
		if said := got.take(); said != "" {
			t.Errorf("another run's event is told: %q", said)
		}
		time.Sleep(time.Second)
		w.write(gateEvent(481))
		synctest.Wait()
		if said := got.take(); said != "verdict rail gates log@10" {
			t.Errorf("told %q", said)
		}
		// A burst is told once per pulse, and its end always.
		begun := time.Now()
		for range 20 {
			w.write(gateEvent(481))
			time.Sleep(10 * time.Millisecond)
		}
		synctest.Wait()
		if said := got.take(); said != "" {
			t.Errorf("told %q within the pulse", said)
		}
		time.Sleep(pulse - time.Since(begun))
		synctest.Wait()
		if said := got.take(); said != "verdict rail gates log@30" {
			t.Errorf("told %q after the pulse", said)
		}
		time.Sleep(silence + pulse)
		synctest.Wait()
		if said := got.take(); said != ":" {
			t.Errorf("says %q in a silence", said)
		}
		if n := w.listeners(); n != 1 {
			t.Errorf("%d listeners", n)
		}
		cancel()
		synctest.Wait()
		if n := w.listeners(); n != 0 {
			t.Errorf("%d listeners are left", n)
		}
	})
}

func TestStreamOfTheBoard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := fullWorld()
		s := newSite(t, w)
		got, cancel := s.listen(t.Context(), "/events?scope=board&after=9", "")
		defer cancel()
		got.take()
		time.Sleep(time.Second)
		w.write(upgrade.Event{Run: 483, Kind: upgrade.EventStatus})
		w.write(gateEvent(483))
		time.Sleep(time.Second)
		synctest.Wait()
		if said := got.take(); said != "lead progress@11" {
			t.Errorf("told %q", said)
		}
		w.write(upgrade.Event{Run: 484, Kind: upgrade.EventPhase})
		synctest.Wait()
		if said := got.take(); said != "lead attention ready progress step recent@12" {
			t.Errorf("told %q", said)
		}
	})
}

func TestStreamComesBack(t *testing.T) {
	for _, tc := range []struct{ name, last, want string }{
		{"nothing_missed", "9", "hello"},
		{"two_missed", "7", "hello verdict rail gates plan log facts audit@9"},
		{"number_of_another_journal", "4711", "hello resync@9"},
		{"no_number", "x", "hello resync@9"},
		{"negative", "-1", "hello resync@9"},
		{"from_the_beginning", "0", "hello verdict facts audit rail gates plan log@9"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got, cancel := newSite(t, fullWorld()).listen(t.Context(), "/events?scope=run:481&after=9", tc.last)
				defer cancel()
				if said := got.take(); said != tc.want {
					t.Errorf("told %q, want %q", said, tc.want)
				}
			})
		})
	}
}

func TestStreamAfterALongGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := fullWorld()
		for range maxGap + 1 {
			w.write(gateEvent(481))
		}
		s := newSite(t, w)
		got, cancel := s.listen(t.Context(), "/events?scope=run:481", "9")
		defer cancel()
		if said := got.take(); said != "hello resync@1010" {
			t.Errorf("told %q", said)
		}
		time.Sleep(time.Second)
		w.write(gateEvent(481))
		synctest.Wait()
		if said := got.take(); said != "verdict rail gates log@1011" {
			t.Errorf("told %q", said)
		}
	})
}

func TestStreamRefused(t *testing.T) {
	s := newSite(t, fullWorld())
	for target, code := range map[string]int{
		"/events": 400, "/events?scope=all": 400, "/events?scope=run:x": 400, "/events?scope=run:0": 400, "/events?scope=run:512": 404,
	} {
		if w := s.get(target); w.Code != code {
			t.Errorf("%s is answered %d, want %d", target, w.Code, code)
		}
	}
}

// TestJournalEnd: the end is found wherever it is, and kept up with.
func TestJournalEnd(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 7, 8, 9, 1000, 1023} {
		w := &world{}
		for range n {
			w.write(gateEvent(1))
		}
		s := newSite(t, w)
		for range 3 {
			got, err := s.tail.read(t.Context(), s.Server)
			if err != nil || got != int64(len(w.events)) {
				t.Errorf("the end of %d events is %d: %v", len(w.events), got, err)
			}
			w.write(gateEvent(1))
		}
	}
}

// TestShutdownWithStreams: fifty open streams outlive the server's timeouts and end with the server, soon.
func TestShutdownWithStreams(t *testing.T) {
	w := fullWorld()
	s := newSite(t, w)
	server := httptest.NewUnstartedServer(s.Handler())
	server.Config.WriteTimeout, server.Config.ReadTimeout = 200*time.Millisecond, 200*time.Millisecond
	server.Config.RegisterOnShutdown(s.EndStreams)
	server.Start()
	defer server.Close()

	const many = 50
	var open, ended sync.WaitGroup
	told := make(chan string, many)
	for i := range many {
		open.Add(1)
		ended.Go(func() {
			lines, err := openStream(t.Context(), server, "/events?scope=board&after=9")
			if err != nil || !lines.Scan() {
				open.Done()
				told <- fmt.Sprintf("stream %d did not open: %v", i, err)
				return
			}
			open.Done()
			first := ""
			for lines.Scan() {
				if v, ok := strings.CutPrefix(lines.Text(), "event: "); ok && v != "hello" {
					first = v
				}
			}
			told <- first
		})
	}
	open.Wait()
	waitFor(t, func() bool { return w.listeners() == many })
	time.Sleep(3 * server.Config.WriteTimeout) // longer than an answer may take otherwise
	w.write(gateEvent(483))
	time.Sleep(2 * pulse)
	begun := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := server.Config.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	ended.Wait()
	t.Logf("%d streams ended in %s", many, time.Since(begun))
	close(told)
	for what := range told {
		if what != "progress" {
			t.Errorf("a stream told %q", what)
		}
	}
	if n := w.listeners(); n != 0 {
		t.Errorf("%d listeners are left", n)
	}
}

func openStream(ctx context.Context, server *httptest.Server, target string) (*bufio.Scanner, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+target, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+managerToken)
	resp, err := server.Client().Do(req) //nolint:bodyclose // read to its end, which closes it
	if err != nil {
		return nil, err
	}
	return bufio.NewScanner(resp.Body), nil
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("it did not come to pass in 5 s")
}
