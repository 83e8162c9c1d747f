package storetest

import (
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgradegate/upgradegate/upgrade"
)

func accessTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"sessions": func(b *bench) {
			ctx, t := b.t.Context(), b.t
			at := b.now.Truncate(time.Millisecond).UTC()
			one := upgrade.Session{
				Digest: "d1", ID: "S1", Who: upgrade.Identity{Subject: "gitlab/17", Name: "Mira", Username: "mira", GitLabUser: 17, Groups: []string{"corp/a"}},
				BegunAt: at, SeenAt: at, EndsAt: at.Add(time.Hour), From: "192.0.2.1", Browser: "curl", Proof: "p",
			}
			other := upgrade.Session{Digest: "d2", ID: "S2", Who: upgrade.Identity{Subject: "gitlab/18", Name: "Hugo"}, BegunAt: at.Add(time.Second), SeenAt: at, EndsAt: at.Add(time.Minute)}
			for _, s := range []upgrade.Session{one, other} {
				if err := b.AddSession(ctx, s); err != nil {
					t.Fatal(err)
				}
			}
			one.SeenAt = at.Add(time.Minute)
			if err := b.SeeSession(ctx, "d1", one.SeenAt); err != nil {
				t.Fatal(err)
			}
			got, err := b.Session(ctx, "d1")
			if diff := cmp.Diff(one, got); err != nil || diff != "" {
				t.Errorf("read %v (-want +got):\n%s", err, diff)
			}
			if all, err := b.Sessions(ctx, "gitlab/17"); err != nil || len(all) != 1 || all[0].ID != "S1" {
				t.Errorf("of one: %+v %v", all, err)
			}
			if all, err := b.Sessions(ctx, ""); err != nil || len(all) != 2 || all[0].ID != "S2" {
				t.Errorf("of all: %+v %v", all, err)
			}
			if err := b.PurgeSessions(ctx, at.Add(2*time.Minute), at.Add(-time.Hour)); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Session(ctx, "d2"); upgrade.CodeOf(err) != upgrade.CodeNotFound {
				t.Errorf("what was over is there: %v", err)
			}
			if err := b.EndSession(ctx, "S1"); err != nil {
				t.Fatal(err)
			}
			if err := b.EndSession(ctx, "S1"); upgrade.CodeOf(err) != upgrade.CodeNotFound {
				t.Errorf("ended twice: %v", err)
			}
		},
		"api_tokens": func(b *bench) {
			ctx, t := b.t.Context(), b.t
			at := b.now.Truncate(time.Millisecond).UTC()
			one := upgrade.APIToken{
				Digest: "t1", ID: "T1", Name: "nightly", Owner: upgrade.Identity{Subject: "token/hugo", Name: "hugo"}, Role: upgrade.RoleDeveloper,
				Projects: []string{"platform/web"}, MadeAt: at, EndsAt: at.Add(time.Hour),
			}
			if err := b.AddToken(ctx, one); err != nil {
				t.Fatal(err)
			}
			one.UsedAt, one.UsedFrom = at.Add(time.Minute), "192.0.2.9"
			if err := b.UseToken(ctx, one); err != nil {
				t.Fatal(err)
			}
			got, err := b.Token(ctx, "t1")
			if diff := cmp.Diff(one, got); err != nil || diff != "" {
				t.Errorf("read %v (-want +got):\n%s", err, diff)
			}
			if err := b.EndToken(ctx, "T1", "Mira", at.Add(2*time.Minute)); err != nil {
				t.Fatal(err)
			}
			late := one
			late.UsedAt = at.Add(time.Hour)
			if err := b.UseToken(ctx, late); err != nil { // it was on its way when the token was revoked
				t.Fatal(err)
			}
			one.EndedAt, one.EndedBy = at.Add(2*time.Minute), "Mira"
			got, err = b.TokenByID(ctx, "T1")
			if diff := cmp.Diff(one, got); err != nil || diff != "" {
				t.Errorf("revoked %v (-want +got):\n%s", err, diff)
			}
			if err := b.EndToken(ctx, "T1", "Mira", at); upgrade.CodeOf(err) != upgrade.CodeConflict {
				t.Errorf("revoked twice: %v", err)
			}
			if err := b.EndToken(ctx, "T2", "Mira", at); upgrade.CodeOf(err) != upgrade.CodeNotFound {
				t.Errorf("one that does not exist: %v", err)
			}
			if all, err := b.Tokens(ctx, "token/hugo"); err != nil || len(all) != 1 {
				t.Errorf("listed %+v %v", all, err)
			}
		},
	}
}
