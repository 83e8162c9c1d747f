package bench

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// mostRequests bounds one load, whatever the time.
const mostRequests = 100_000

// load is what came of sending requests for a while.
type load struct {
	perSecond float64
	p50, p99  time.Duration
}

// press sends requests over so many connections, each waiting for its answer before it sends the next, and
// fails the test unless every answer is 200. It writes and reads connections itself: an http.Client would
// take as much of the processors as the server that is measured.
func press(t *testing.T, addr string, connections int, lasts time.Duration, request func() []byte) load {
	t.Helper()
	took, errs := make([][]time.Duration, connections), make([]error, connections)
	var sent atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for i := range connections {
		all.Go(func() {
			took[i], errs[i] = exchange(addr, request, func() bool {
				return time.Since(began) < lasts && sent.Add(1) <= mostRequests
			})
		})
	}
	all.Wait()
	lasted := time.Since(began)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	every := slices.Concat(took...)
	return load{float64(len(every)) / lasted.Seconds(), quantile(every, 0.5), quantile(every, 0.99)}
}

// exchange sends requests over one connection while more says so.
func exchange(addr string, request func() []byte, more func() bool) (took []time.Duration, err error) {
	conn, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		return nil, err
	}
	in := bufio.NewReader(conn)
	for more() {
		body := request()
		began := time.Now()
		if _, err := conn.Write(body); err != nil {
			return nil, err
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return nil, err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		took = append(took, time.Since(began))
		if err == nil && resp.StatusCode != http.StatusOK {
			err = errors.New("the answer was " + resp.Status)
		}
		if err != nil {
			return nil, err
		}
	}
	return took, nil
}

func TestPressKeepsConnections(t *testing.T) {
	var came, opened atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err != nil || string(body) != "{}" {
			t.Errorf("the body is %q (%v)", body, err)
		}
		came.Add(1)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	addr := strings.TrimPrefix(server.URL, "http://")
	got := press(t, addr, 3, 50*time.Millisecond, func() []byte {
		return []byte("POST / HTTP/1.1\r\nHost: " + addr + "\r\nContent-Length: 2\r\n\r\n{}")
	})
	if opened.Load() != 3 || came.Load() < 3 {
		t.Errorf("%d requests over %d connections, want many over 3", came.Load(), opened.Load())
	}
	if got.p50 <= 0 || got.p99 < got.p50 || got.perSecond <= 0 {
		t.Errorf("measured %+v", got)
	}
}
