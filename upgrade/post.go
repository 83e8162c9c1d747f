package upgrade

import (
	"context"
	"time"
)

// KeyedPost is a post to the API that came with an Idempotency-Key, and what was answered, so that one that
// is sent again has no second effect.
type KeyedPost struct {
	Key     string    // SHA-256 over caller, route and key, hexadecimal
	Caller  string    // SHA-256 over who asks, hexadecimal
	Imprint string    // SHA-256 over address and body, hexadecimal: the same key with another one is refused
	BegunAt time.Time // real time
	Done    bool      // it was answered
	Acted   bool      // what it asks for was done, whether or not it could be answered
	Code    int       // HTTP status that was answered
	Body    []byte    // that was answered, without secrets
}

type postKey struct{}

// Posting returns ctx for what is done for a post with that key.
func Posting(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, postKey{}, key)
}

// PostOf returns the key of the post that is worked on; "" if it has none.
func PostOf(ctx context.Context) string {
	key, _ := ctx.Value(postKey{}).(string)
	return key
}
