package varnish

import (
	"context"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// keptTTLs is how many names a resolver remembers the TTL of.
const keptTTLs = 64

// Resolver asks DNS as [net.Resolver] does, and listens to what its servers answer: that is where the TTL of an answer
// stands, which net.Resolver does not tell. Where the C library asks instead, or a name stands in /etc/hosts, or an
// answer comes over TCP, no TTL is known. Its methods may be called at the same time.
type Resolver struct {
	*net.Resolver

	mu   sync.Mutex // guards ttls
	ttls map[string]map[dnsmessage.Type]uint32
}

// NewResolver returns one that connects to servers by dial; nil: from this process, to the system's servers. With a
// dial of its own the C library is never asked.
func NewResolver(dial func(ctx context.Context, network, address string) (net.Conn, error)) *Resolver {
	r := &Resolver{Resolver: &net.Resolver{PreferGo: dial != nil}}
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	r.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if udp, ok := conn.(*net.UDPConn); ok && err == nil {
			return &overheard{udp, r}, nil
		}
		return conn, err
	}
	return r
}

// TTL returns for how long the last answers about a name may be kept, the shortest of its records; 0: not known.
func (r *Resolver) TTL(host string) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	least, known := uint32(0), false
	for _, ttl := range r.ttls[nameKey(host)] {
		if !known || ttl < least {
			least, known = ttl, true
		}
	}
	return time.Duration(least) * time.Second
}

// overheard is a connection to a server; net.Resolver knows by its type that it carries packets.
type overheard struct {
	*net.UDPConn
	r *Resolver
}

func (o *overheard) Read(b []byte) (int, error) {
	n, err := o.UDPConn.Read(b)
	if err == nil {
		o.r.hear(b[:n])
	}
	return n, err
}

// hear remembers the TTL in an answer.
func (r *Resolver) hear(msg []byte) {
	name, kind, ttl, ok := leastTTL(msg)
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ttls[name] == nil {
		if r.ttls == nil || len(r.ttls) >= keptTTLs {
			r.ttls = map[string]map[dnsmessage.Type]uint32{}
		}
		r.ttls[name] = map[dnsmessage.Type]uint32{}
	}
	r.ttls[name][kind] = ttl
}

// leastTTL returns the name that an answer of a server is about, the kind of address that was asked for, and the
// shortest TTL of its records, aliases included, in seconds. It is not ok without records.
func leastTTL(msg []byte) (name string, kind dnsmessage.Type, ttl uint32, ok bool) {
	var p dnsmessage.Parser
	head, err := p.Start(msg)
	if err != nil || !head.Response || head.RCode != dnsmessage.RCodeSuccess {
		return "", 0, 0, false
	}
	q, err := p.Question()
	if err != nil || q.Type != dnsmessage.TypeA && q.Type != dnsmessage.TypeAAAA || p.SkipAllQuestions() != nil {
		return "", 0, 0, false
	}
	for {
		record, err := p.AnswerHeader()
		if err != nil { // also that there are no more
			break
		}
		if record.Type == q.Type || record.Type == dnsmessage.TypeCNAME {
			if !ok || record.TTL < ttl {
				ttl, ok = record.TTL, true
			}
		}
		if p.SkipAnswer() != nil {
			break
		}
	}
	return nameKey(q.Name.String()), q.Type, ttl, ok
}

// nameKey returns the one form of a name.
func nameKey(host string) string { return strings.TrimSuffix(strings.ToLower(host), ".") }
