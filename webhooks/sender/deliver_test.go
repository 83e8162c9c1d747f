package sender

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

const somewhere = "https://hooks.example.org/in"

func phase(to upgrade.Phase) map[string]string {
	return map[string]string{"from": "checking", "to": string(to)}
}

func TestEventsAreDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, to := newShelves(), &receiver{}
		s.write(1, upgrade.EventNote, "before anybody subscribed", nil)
		r := open(t, s, to.ServeHTTP)
		made := add(t, r, upgrade.Hook{Name: "chat", URL: somewhere, Events: []string{"run.unlocked", "run.note"}, Stacks: []upgrade.StackName{"ecs-master"}})
		stop := start(t, r)
		synctest.Wait()
		s.write(1, upgrade.EventNote, "the password is hunter2", map[string]string{"p": "hunter2"})
		s.write(1, upgrade.EventPhase, "Blocked.", phase(upgrade.PhaseBlocked))   // another phase
		s.write(2, upgrade.EventPhase, "Unlocked.", phase(upgrade.PhaseUnlocked)) // another stack
		s.write(1, upgrade.EventPhase, "Unlocked.", phase(upgrade.PhaseUnlocked))
		synctest.Wait()
		stop()
		got := to.all()
		if len(got) != 2 || got[0].id != "evt_2_chat" || got[1].id != "evt_5_chat" {
			t.Fatalf("got %+v", got)
		}
		want := `{"type":"run.unlocked","timestamp":"2026-11-23T09:00:00Z","version":1,"data":{"event":5,"seq":5,"run":{"id":1,"upgrade":3,"attempt":1,"stack":"ecs-master",` +
			`"environment":"staging","project_id":9,"project":"platform/ecs","commit":"c0ffee","tree":"beef","url":"https://gate.example.org/runs/1"},` +
			`"who":"by rule","text":"Unlocked.","detail":{"from":"checking","to":"unlocked"}}}`
		if got[1].body != want {
			t.Errorf("got %s\nwant %s", got[1].body, want)
		}
		if strings.Contains(got[0].body, "hunter2") || !strings.Contains(got[0].body, "the password is ***") {
			t.Errorf("a secret was sent: %s", got[0].body)
		}
		if signed, err := sign(made.Keys, got[1].id, got[1].at, []byte(want)); err != nil || signed != got[1].signature {
			t.Errorf("signature %s, want %s (%v)", got[1].signature, signed, err)
		}
	})
}

// TestOneRunWaitsInItsOrder: while a message of a run is not taken, no later one of that run is sent; those of
// other runs are.
func TestOneRunWaitsInItsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, to := newShelves(), &receiver{}
		to.answer = func(r *http.Request, n int) int {
			if n < 3 && r.Header.Get("Webhook-Id") == "evt_1_chat" {
				return http.StatusInternalServerError
			}
			return http.StatusOK
		}
		r := open(t, s, to.ServeHTTP)
		add(t, r, upgrade.Hook{Name: "chat", URL: somewhere})
		stop := start(t, r)
		for i, run := range []upgrade.RunID{1, 1, 2, 1} {
			s.write(run, upgrade.EventNote, fmt.Sprint(i), nil)
		}
		time.Sleep(time.Hour)
		stop()
		var order []string
		for _, g := range to.all() {
			order = append(order, strings.TrimSuffix(strings.TrimPrefix(g.id, "evt_"), "_chat"))
		}
		if got := strings.Join(order, " "); got != "1 3 1 1 2 4" {
			t.Errorf("sent %s", got)
		}
	})
}

// TestGivenUpAfterThreeDays: tried with growing pauses for three days, then dead and shown, then sent again
// by hand.
func TestGivenUpAfterThreeDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, to := newShelves(), &receiver{answer: func(*http.Request, int) int { return http.StatusInternalServerError }}
		r := open(t, s, to.ServeHTTP)
		add(t, r, upgrade.Hook{Name: "chat", URL: somewhere})
		stop := start(t, r)
		begun := time.Now()
		s.write(1, upgrade.EventNote, "one", nil)
		time.Sleep(4 * 24 * time.Hour)
		got := to.all()
		last := got[len(got)-1].at.Sub(begun)
		if len(got) != 10 || last != giveUp || got[1].at.Sub(begun) != 5*time.Second || got[2].at.Sub(got[1].at) != 5*time.Minute {
			t.Errorf("tried %d times, the last after %s", len(got), last)
		}
		dead, err := r.Messages(t.Context(), upgrade.MessageFilter{Hook: "chat"})
		if err != nil || len(dead) != 1 || dead[0].State != upgrade.MessageDead || dead[0].Answer != "answered 500 Internal Server Error" {
			t.Fatalf("%+v, %v", dead, err)
		}
		to.mu.Lock()
		to.answer = nil
		to.mu.Unlock()
		if _, err := r.Resend(t.Context(), "chat", dead[0].ID, admin()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		stop()
		again := to.all()
		if len(again) != 11 || again[10].id != got[0].id || again[10].body != got[0].body || s.kept()[0].State != upgrade.MessageDelivered {
			t.Errorf("sent again: %+v, %+v", again[10:], s.kept())
		}
	})
}

// TestGoneStopsDelivering: 410 ends it until somebody resumes.
func TestGoneStopsDelivering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, to := newShelves(), &receiver{answer: func(*http.Request, int) int { return http.StatusGone }}
		r := open(t, s, to.ServeHTTP)
		add(t, r, upgrade.Hook{Name: "chat", URL: somewhere})
		stop := start(t, r)
		defer func() { stop() }()
		s.write(1, upgrade.EventNote, "one", nil)
		s.write(2, upgrade.EventNote, "two", nil)
		time.Sleep(24 * time.Hour)
		if h := s.hook("chat"); len(to.all()) != 1 || h.State != upgrade.HookGone || h.Why == "" {
			t.Fatalf("%d posts, %+v", len(to.all()), h)
		}
		to.mu.Lock()
		to.answer = nil
		to.mu.Unlock()
		if _, err := r.ResumeHook(t.Context(), "chat", admin()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := to.all(); len(got) != 2 || got[1].id != "evt_2_chat" {
			t.Errorf("after it was resumed: %+v", got)
		}
	})
}

// TestReceiverThatHangs is given up after a while, and keeps nobody else waiting.
func TestReceiverThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, quick := newShelves(), &receiver{}
		r := open(t, s, func(w http.ResponseWriter, req *http.Request) {
			if strings.HasPrefix(req.URL.Host, "slow") {
				<-req.Context().Done()
				return
			}
			quick.ServeHTTP(w, req)
		})
		add(t, r, upgrade.Hook{Name: "slow", URL: "https://slow.example.org/"})
		add(t, r, upgrade.Hook{Name: "quick", URL: somewhere})
		stop := start(t, r)
		s.write(1, upgrade.EventNote, "one", nil)
		time.Sleep(time.Second)
		if len(quick.all()) != 1 {
			t.Error("one waits for the other")
		}
		time.Sleep(postWithin)
		stop()
		for _, m := range s.kept() {
			if m.Hook == "slow" && (m.Tries != 1 || m.Answer != "no answer within 10s") {
				t.Errorf("%+v", m)
			}
		}
	})
}

// TestKilledBetweenSendingAndNoting: the next process sends the same again, under the same id, and nothing is
// left out.
func TestKilledBetweenSendingAndNoting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, to := newShelves(), &receiver{}
		r := open(t, s, to.ServeHTTP)
		add(t, r, upgrade.Hook{Name: "chat", URL: somewhere})
		s.deaf = 1 << 30
		stop := start(t, r)
		s.write(1, upgrade.EventNote, "one", nil)
		s.write(1, upgrade.EventNote, "two", nil)
		synctest.Wait()
		stop()
		before := to.all()
		s.deaf = 0 // the next process
		stop = start(t, open(t, s, to.ServeHTTP))
		synctest.Wait()
		stop()
		after := to.all()[len(before):]
		if len(before) == 0 || len(after) != 2 || after[0].id != before[0].id || after[0].body != before[0].body || after[1].id != "evt_2_chat" {
			t.Errorf("before %+v, after %+v", before, after)
		}
	})
}

// TestPausedEventsWait and come when it is resumed.
func TestPausedEventsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, to := newShelves(), &receiver{}
		r := open(t, s, to.ServeHTTP)
		add(t, r, upgrade.Hook{Name: "chat", URL: somewhere})
		stop := start(t, r)
		defer func() { stop() }()
		if _, err := r.PauseHook(t.Context(), "chat", "moving", admin()); err != nil {
			t.Fatal(err)
		}
		s.write(1, upgrade.EventNote, "one", nil)
		time.Sleep(time.Hour)
		if len(to.all()) != 0 {
			t.Error("delivered to a paused one")
		}
		if _, err := r.ResumeHook(t.Context(), "chat", admin()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(to.all()) != 1 {
			t.Errorf("%d after it was resumed", len(to.all()))
		}
	})
}

// TestRotatedWithoutAGap: for as long as both are good, either secret verifies what is sent.
func TestRotatedWithoutAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, to := newShelves(), &receiver{}
		r := open(t, s, to.ServeHTTP)
		old := add(t, r, upgrade.Hook{Name: "chat", URL: somewhere})
		renewed, err := r.RotateHook(t.Context(), "chat", time.Hour, admin())
		if err != nil || renewed.Keys[0].Secret == old.Keys[0].Secret {
			t.Fatal(err)
		}
		stop := start(t, r)
		s.write(1, upgrade.EventNote, "both", nil)
		synctest.Wait()
		time.Sleep(time.Hour)
		s.write(1, upgrade.EventNote, "new alone", nil)
		synctest.Wait()
		stop()
		got := to.all()
		for i, keys := range [][][]upgrade.HookKey{{renewed.Keys[:1], old.Keys}, {renewed.Keys[:1]}} {
			given := strings.Fields(got[i].signature)
			if len(given) != len(keys) {
				t.Fatalf("%d signatures, want %d", len(given), len(keys))
			}
			for k, key := range keys {
				if want, _ := sign(key, got[i].id, got[i].at, []byte(got[i].body)); given[k] != want {
					t.Errorf("event %d, key %d: %s, want %s", i, k, given[k], want)
				}
			}
		}
	})
}
