package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// slowFile is the size of a file from which on reading it takes long enough to say so.
const slowFile = 32 << 20

// progressEvery is how often the line is written anew.
const progressEvery = 200 * time.Millisecond

// progress is a reader that says how far it is, in one line of a terminal.
type progress struct {
	in         io.Reader
	size, read int64
	err        io.Writer
	on         bool
	last       time.Time
}

// Read reads on.
func (p *progress) Read(b []byte) (int, error) {
	n, err := p.in.Read(b)
	p.read += int64(n)
	if p.on {
		if now := time.Now(); now.Sub(p.last) >= progressEvery {
			p.last = now
			_, _ = fmt.Fprintf(p.err, "\rreading the plan: %d of %d MB", p.read/1e6, p.size/1e6)
		}
	}
	return n, err
}

// end takes the line away.
func (p *progress) end() {
	if p.on {
		_, _ = fmt.Fprint(p.err, "\r\x1b[K")
	}
}

// isTerminal reports whether what is written there is read by a person at once.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && info.Mode()&os.ModeDevice != 0 && file.Name() != os.DevNull
}
