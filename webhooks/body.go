package webhooks

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

var errTooLarge = errors.New("the body is larger than 25 MB")

// readBody reads the whole body, at most MaxBody bytes of it. Of a larger one it throws away up to as
// much again, so that the sender gets to see the answer instead of a connection that is reset.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	// Not every writer has deadlines (a recorder in a test has none); the server's own still holds.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyPatience)) //nolint:forbidigo // a deadline of the network
	if r.ContentLength > 2*MaxBody {
		return nil, errTooLarge
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxBody+1))
	if err != nil {
		return nil, fmt.Errorf("read the body: %w", err)
	}
	if len(body) > MaxBody {
		// Best effort: whatever goes wrong here, the answer is the same.
		_, _ = io.CopyN(io.Discard, r.Body, MaxBody)
		return nil, errTooLarge
	}
	return body, nil
}
