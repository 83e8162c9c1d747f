package upgrade

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"
)

// AuditEntry is one act in the audit log: who did what, on what, why, from where, and what came of it.
// Entries are numbered without a gap and each holds the hash of the one before, so that a changed, removed
// or inserted one is found.
type AuditEntry struct {
	Seq     int64     // from 1; given by the store
	At      time.Time // world time, in milliseconds
	Who     string    // name of a person or program, "by rule", or what was claimed at a sign-in that was refused
	User    int64     // their id in GitLab; 0: not known
	Via     string    // how they were known: "session", "token"; empty for what the service does itself
	From    string    // address that it came from, without the port; empty for what the service does itself
	Act     Act
	On      string // what it was done to, such as "run 481" or "stack ecs-master"
	Project string // whose; empty: of the installation
	Stack   StackName
	Run     RunID // 0: none
	Why     string
	Result  AuditResult
	Detail  string // why it was refused, or what came of it
	Prev    string // Hash of the entry before; empty for the first
	Hash    string // SHA-256 over Prev and all the rest, hexadecimal; given by the store
}

// AuditResult is what came of an act.
type AuditResult string

// The results.
const (
	AuditDone    AuditResult = "done"
	AuditAsked   AuditResult = "asked" // the run's own job grants or refuses it
	AuditRefused AuditResult = "refused"
	AuditFailed  AuditResult = "failed" // nobody refused it, and it did not work
)

// AuditFilter chooses entries. Zero fields do not restrict. Lists are newest first.
type AuditFilter struct {
	Who    string
	Act    Act
	Stack  StackName
	Run    RunID
	Result AuditResult
	Since  time.Time
	Until  time.Time // exclusive
	Before int64     // keyset: only entries with a smaller number
	Limit  int       // 0: 50; at most 501
}

// AuditHead is the newest entry: whoever notes it elsewhere can tell later that nothing up to it was changed,
// not even by somebody who made the whole chain anew.
type AuditHead struct {
	Seq  int64 // 0: nothing was ever done
	Hash string
}

// String returns the head as it is noted: number, colon, hash.
func (h AuditHead) String() string { return strconv.FormatInt(h.Seq, 10) + ":" + h.Hash }

// Sum returns what Hash has to be. Each field goes in with its length, so that nothing can move from one to
// the next.
func (e *AuditEntry) Sum() string {
	sum := sha256.New()
	for _, field := range []string{
		"upgradegate audit 1", e.Prev, strconv.FormatInt(e.Seq, 10), strconv.FormatInt(e.At.UnixMilli(), 10), e.Who, strconv.FormatInt(e.User, 10),
		e.Via, e.From, string(e.Act), e.On, e.Project, string(e.Stack), e.Run.String(), e.Why, string(e.Result), e.Detail,
	} {
		_, _ = fmt.Fprintf(sum, "%d:%s,", len(field), field) // a hash takes everything
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// AuditChain follows entries in the order of their numbers and finds what was changed. The zero value begins
// at the first entry.
type AuditChain struct {
	Head  AuditHead // of what was followed so far
	Noted AuditHead // a head that was noted before; zero: none
}

// Next returns what is wrong with the next entry, in a sentence that names it; "" if it is whole.
func (c *AuditChain) Next(e AuditEntry) (wrong string) {
	before := c.Head
	c.Head = AuditHead{Seq: e.Seq, Hash: e.Hash}
	switch {
	case e.Seq <= before.Seq:
		c.Head.Seq = before.Seq
		return fmt.Sprintf("entry %d was put in: it stands behind entry %d", e.Seq, before.Seq)
	case e.Seq == before.Seq+2:
		return fmt.Sprintf("entry %d is missing", before.Seq+1)
	case e.Seq > before.Seq+1:
		return fmt.Sprintf("entries %d to %d are missing", before.Seq+1, e.Seq-1)
	case e.Sum() != e.Hash:
		return fmt.Sprintf("entry %d was changed: its content does not give its hash", e.Seq)
	case e.Prev != before.Hash:
		return fmt.Sprintf("entry %d does not follow entry %d: one of them was replaced", e.Seq, before.Seq)
	case e.Seq == c.Noted.Seq && e.Hash != c.Noted.Hash:
		return fmt.Sprintf("entry %d is not the one that was noted: the log was written anew", e.Seq)
	}
	return ""
}

// End returns what is wrong at the end of the log, of which head was kept beside it; "" if nothing.
func (c *AuditChain) End(head AuditHead) (wrong string) {
	switch {
	case c.Head.Seq == head.Seq-1:
		return fmt.Sprintf("entry %d is missing: it was the last one", head.Seq)
	case c.Head.Seq < head.Seq:
		return fmt.Sprintf("entries %d to %d are missing: they were the last ones", c.Head.Seq+1, head.Seq)
	case c.Head.Seq > head.Seq:
		return fmt.Sprintf("the log goes on to entry %d, behind its kept end %d: what is behind was put in, or the kept end was changed", c.Head.Seq, head.Seq)
	case c.Head.Hash != head.Hash:
		return fmt.Sprintf("entry %d is not the one that was written last, or the kept end was changed", head.Seq)
	case c.Noted.Seq > head.Seq:
		return fmt.Sprintf("entry %d was noted and is missing: the log ends at %d", c.Noted.Seq, head.Seq)
	}
	return ""
}

type actingKey struct{}

// Acting returns a context under which the store keeps entry in the very transaction that does the act. Its
// Seq says afterwards whether that was so. One goroutine at a time may use what hangs on it.
func Acting(ctx context.Context, entry *AuditEntry) context.Context {
	return context.WithValue(ctx, actingKey{}, entry)
}

// ActingOf returns the entry of the act under way, nil if there is none.
func ActingOf(ctx context.Context) *AuditEntry {
	entry, _ := ctx.Value(actingKey{}).(*AuditEntry)
	return entry
}
