package storetest

import (
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

func keyedPostTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"keyed_posts": func(b *bench) {
			ctx, t := b.t.Context(), b.t
			at := b.now.Truncate(time.Millisecond).UTC()
			p := upgrade.KeyedPost{Key: "k1", Caller: "c", Imprint: "i", BegunAt: at}
			begin := func(p upgrade.KeyedPost) (upgrade.KeyedPost, bool) {
				t.Helper()
				old, begun, err := b.BeginPost(ctx, p, p.BegunAt.Add(-24*time.Hour))
				if err != nil {
					t.Fatal(err)
				}
				return old, begun
			}
			if _, begun := begin(p); !begun {
				t.Error("a new post is not begun")
			}
			other := p
			other.Imprint = "another"
			if old, begun := begin(other); begun || old.Done || old.Acted || old.Imprint != "i" || !old.BegunAt.Equal(at) {
				t.Errorf("one under way: %+v begun %v", old, begun)
			}
			// The transaction of the act notes that it was done.
			acting := upgrade.Posting(upgrade.Acting(ctx, &upgrade.AuditEntry{At: at, Who: "Mira", Act: "token.make", Result: upgrade.AuditDone}), "k1")
			if err := b.AddToken(acting, upgrade.APIToken{Digest: "dp", ID: "TP", Owner: upgrade.Identity{Subject: "token/mira"}, MadeAt: at, EndsAt: at}); err != nil {
				t.Fatal(err)
			}
			if old, begun := begin(p); begun || !old.Acted || old.Done {
				t.Errorf("one that was done and not answered: %+v begun %v", old, begun)
			}
			if err := b.EndPost(ctx, "k1", 201, []byte(`{"a":"ü"}`)); err != nil {
				t.Fatal(err)
			}
			if old, _ := begin(p); !old.Done || old.Code != 201 || string(old.Body) != `{"a":"ü"}` {
				t.Errorf("one that was answered: %+v", old)
			}
			if err := b.EndPost(ctx, "k2", 201, nil); upgrade.CodeOf(err) != upgrade.CodeNotFound {
				t.Errorf("the answer to one that was never begun: %v", err)
			}
			if err := b.ForgetPost(ctx, "k1"); err != nil {
				t.Fatal(err)
			}
			if _, begun := begin(p); !begun {
				t.Error("one that was forgotten is remembered")
			}
			later := p
			later.BegunAt = at.Add(24*time.Hour + time.Millisecond)
			if _, begun := begin(later); !begun {
				t.Error("one that is more than a day old is remembered")
			}
		},
		"keyed_posts_end": func(b *bench) {
			ctx, t := b.t.Context(), b.t
			at := b.now.Truncate(time.Millisecond).UTC()
			for i := range 30 { // those of yesterday go with new ones, some at a time
				_, _, err := b.BeginPost(ctx, upgrade.KeyedPost{Key: string(rune('A' + i)), Caller: "c", BegunAt: at}, at.Add(-time.Hour))
				if err != nil {
					t.Fatal(err)
				}
			}
			since := at.Add(time.Hour)
			for _, key := range []string{"new", "newer"} {
				if _, _, err := b.BeginPost(ctx, upgrade.KeyedPost{Key: key, Caller: "c", BegunAt: since}, since); err != nil {
					t.Fatal(err)
				}
			}
			for i := range 30 {
				if err := b.EndPost(ctx, string(rune('A'+i)), 200, nil); upgrade.CodeOf(err) != upgrade.CodeNotFound {
					t.Errorf("post %d is there after its time: %v", i, err)
				}
			}
		},
	}
}
