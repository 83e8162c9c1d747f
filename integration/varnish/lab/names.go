package lab

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
)

// nameMode is how a name server treats its next questions.
type nameMode int

// The modes.
const (
	namesAnswer nameMode = iota
	namesMissing
	namesServfail
	namesSilent
)

// names is a DNS server for one zone, over UDP.
type names struct {
	listen func() (net.PacketConn, error)

	mu    sync.Mutex // guards the fields below
	conn  net.PacketConn
	done  chan struct{}
	mode  nameMode
	addrs []netip.Addr
}

// start answers questions until stop.
func (s *names) start() error {
	conn, err := s.listen()
	if err != nil {
		return fmt.Errorf("start DNS: %w", err)
	}
	done := make(chan struct{})
	s.mu.Lock()
	s.conn, s.done = conn, done
	s.mu.Unlock()
	go func() {
		defer close(done)
		for buf := make([]byte, 1500); ; {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return // stopped
			}
			if answer := s.answer(buf[:n]); answer != nil {
				_, _ = conn.WriteTo(answer, from) // a lost datagram is lost
			}
		}
	}()
	return nil
}

// stop closes the socket: questions are answered by "port unreachable". Stopping twice is fine.
func (s *names) stop() error {
	s.mu.Lock()
	conn, done := s.conn, s.done
	s.conn = nil
	s.mu.Unlock()
	if conn == nil {
		return nil
	}
	err := conn.Close()
	<-done
	return err
}

// set changes how questions are treated.
func (s *names) set(mode nameMode, addrs ...netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mode = mode
	if len(addrs) > 0 {
		s.addrs = addrs
	}
}

// answer returns the bytes to send back, nil for none.
func (s *names) answer(question []byte) []byte {
	var msg dnsmessage.Message
	if msg.Unpack(question) != nil || len(msg.Questions) != 1 {
		return nil
	}
	s.mu.Lock()
	mode, addrs := s.mode, s.addrs
	s.mu.Unlock()
	q := msg.Questions[0]
	reply := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: msg.ID, Response: true, Authoritative: true, RecursionDesired: msg.RecursionDesired, RecursionAvailable: true},
		Questions: msg.Questions,
	}
	switch {
	case mode == namesSilent:
		return nil
	case mode == namesServfail:
		reply.RCode = dnsmessage.RCodeServerFailure
	case mode == namesMissing || !strings.EqualFold(q.Name.String(), Host+"."):
		reply.RCode = dnsmessage.RCodeNameError
	case q.Type == dnsmessage.TypeA:
		for _, addr := range addrs {
			reply.Answers = append(reply.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1},
				Body:   &dnsmessage.AResource{A: addr.As4()},
			})
		}
	}
	packed, err := reply.Pack()
	if err != nil {
		return nil
	}
	return packed
}
