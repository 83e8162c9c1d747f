package probe

import "time"

// Stream is what is probed once per Every, whatever comes back.
type Stream struct {
	// ID names the stream over restarts of whoever asks for it: a prober that outlives its asker, such as an
	// agent, goes on with a stream that it knows and tells its samples again from the first. Empty: nobody asks
	// for it a second time.
	ID string
	// Target is what is watched by this stream and the others of one watch, such as its URL: a prober elsewhere has
	// no stream of one name twice for one target. Empty: it may, as with a control that several watches share.
	Target    string
	Name      string // for people, such as "cached"; unique among the streams of one watch
	Path      Path
	Every     time.Duration
	Past      bool   // past the cache, by the path's bypass; an answer from the cache is no answer then
	KeepAlive bool   // over one connection per address that is kept while it lives; else each probe on its own
	Limits    Limits // of one probe; zero fields: the prober's own
}
