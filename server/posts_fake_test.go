package server

import (
	"context"
	"sync"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// fakePosts remembers posts in memory.
type fakePosts struct {
	mu    sync.Mutex
	all   map[string]upgrade.KeyedPost
	fails error
}

func (f *fakePosts) BeginPost(_ context.Context, p upgrade.KeyedPost, since time.Time) (upgrade.KeyedPost, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fails != nil {
		return upgrade.KeyedPost{}, false, f.fails
	}
	if old, ok := f.all[p.Key]; ok && !old.BegunAt.Before(since) {
		return old, false, nil
	}
	if f.all == nil {
		f.all = map[string]upgrade.KeyedPost{}
	}
	f.all[p.Key] = p
	return upgrade.KeyedPost{}, true, nil
}

func (f *fakePosts) EndPost(_ context.Context, key string, code int, body []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.all[key]
	p.Done, p.Acted, p.Code, p.Body = true, true, code, body
	f.all[key] = p
	return f.fails
}

func (f *fakePosts) ForgetPost(_ context.Context, key string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.all, key)
	return nil
}
