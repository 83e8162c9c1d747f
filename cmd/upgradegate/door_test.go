package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/upgradegate/upgradegate/config"
	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/integration/varnish"
	"github.com/upgradegate/upgradegate/upgrade"
)

// pushBody is a push to staging as GitLab sends it, as far as it is read.
func (h *house) pushBody(commit upgrade.Commit) string {
	return fmt.Sprintf(`{"object_kind":"push","ref":"refs/heads/staging","after":%q,"project_id":%d,"project":{"id":%d,"path_with_namespace":"platform/web"}}`,
		commit, h.project.ID, h.project.ID)
}

func deliveryHeader(token, id string) http.Header {
	header := http.Header{"X-Gitlab-Event": {"Push Hook"}, "Content-Type": {"application/json"}}
	if token != "" {
		header.Set("X-Gitlab-Token", token)
	}
	if id != "" {
		header.Set("Idempotency-Key", id)
	}
	return header
}

// TestS7BadDeliveries sends what is not a delivery. Each is refused at the door with a reason in the log,
// nothing is kept of it, and a good one afterwards starts its run.
func TestS7BadDeliveries(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setup{})
	h.serve()
	commit := upgrade.Commit(strings.Repeat("a", 40))
	for _, test := range []struct {
		name, token, body string
		status            int
		logged            string
	}{
		{"too_large", hookToken, `{"object_kind":"push","x":"` + strings.Repeat("x", 26<<20) + `"}`, http.StatusRequestEntityTooLarge, "larger than 25 MB"},
		{"truncated", hookToken, h.pushBody(commit)[:60], http.StatusBadRequest, "outcome=malformed"},
		{"not_json", hookToken, "<html>GitLab is not responding</html>", http.StatusBadRequest, "outcome=malformed"},
		{"empty", hookToken, "", http.StatusBadRequest, "outcome=malformed"},
		{"wrong_secret", "another-token-of-somebody", h.pushBody(commit), http.StatusUnauthorized, "outcome=unauthorized"},
		{"no_secret", "", h.pushBody(commit), http.StatusUnauthorized, "outcome=unauthorized"},
		{"not_signed_in_the_body", "", `{"token":"` + hookToken + `"}`, http.StatusUnauthorized, "outcome=unauthorized"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := h.in(t)
			before := len(h.log.String())
			status, body := h.send(http.MethodPost, "/webhooks/gitlab", deliveryHeader(test.token, test.name), strings.NewReader(test.body))
			if status != test.status || body != "" {
				t.Errorf("answered %d %q, want %d and nothing", status, body, test.status)
			}
			said := h.log.String()[before:]
			if !strings.Contains(said, "delivery refused") || !strings.Contains(said, test.logged) {
				t.Errorf("the log does not say %q: %s", test.logged, said)
			}
			if strings.Contains(said, "another-token") || strings.Contains(said, hookToken) {
				t.Error("the log has the token")
			}
			if status, _ := h.get("/api/v1/deliveries/" + test.name); status != http.StatusNotFound {
				t.Errorf("something was kept: %d", status)
			}
		})
	}
	h.runIs(h.push("1"), upgrade.PhaseUnlocked)
}

// TestS7DeliveredOften sends one delivery five times at once, then the same push under other ids, late
// and with a commit that is no longer the head. There is one run.
func TestS7DeliveredOften(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setup{})
	h.serve()
	h.gitlab.RemoveHook(1)
	commit := h.push("1")
	send := func(id string, commit upgrade.Commit) error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.url+"/webhooks/gitlab", strings.NewReader(h.pushBody(commit)))
		if err != nil {
			return err
		}
		req.Header = deliveryHeader(hookToken, id)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	}
	var wait sync.WaitGroup
	for range 5 {
		wait.Go(func() {
			if err := send("the-same", commit); err != nil {
				t.Error(err)
			}
		})
		wait.Go(func() {
			if err := send("", commit); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	h.runIs(commit, upgrade.PhaseUnlocked)
	for _, late := range []upgrade.Commit{commit, upgrade.Commit(strings.Repeat("b", 40))} {
		check(t, send("late-"+late.Short(), late))
		h.until(func() string {
			d, err := h.service.Store.Delivery(t.Context(), upgrade.DeliveryID("late-"+late.Short()))
			if err != nil || d.Fate == upgrade.FatePending {
				return fmt.Sprintf("the delivery is %s: %v", d.Fate, err)
			}
			return ""
		})
	}
	h.runsOf(commit, 1)
	if runs, err := h.api().Runs(t.Context(), "", 10); err != nil || len(runs) != 1 {
		t.Errorf("%d runs (%v), want one", len(runs), err)
	}
	h.appliedOnce("1")
}

// metadata is a resolver for which every name is the metadata service of a cloud.
type metadata struct{}

func (metadata) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("169.254.169.254")}, nil
}

// TestS10MetadataIsNotProbed: neither an operator nor DNS can make a gate ask the metadata service.
func TestS10MetadataIsNotProbed(t *testing.T) {
	t.Parallel()
	t.Run("by_name", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, setup{
			gates: "  - {name: site, kind: varnish, environments: [staging], settle: 0s, tries: 1, paths: [{url: \"http://www.site.test/latest/meta-data/\", bypass: {query: q}}]}\n",
			prober: func(upgrade.GateName) gates.Prober {
				return varnish.New(varnish.Config{Resolver: metadata{}, Guard: varnish.Guard{
					Allow: []varnish.Allow{{Prefix: netip.MustParsePrefix("169.254.0.0/16"), Ports: []uint16{80}}},
				}})
			},
		})
		h.serve()
		commit := h.push("1")
		run := h.runIs(commit, upgrade.PhaseBlocked)
		if len(run.Causes) != 1 || !strings.Contains(run.Causes[0].Message, "169.254.169.254") || !strings.Contains(run.Causes[0].Message, "never") {
			t.Errorf("causes %+v, want the address and that probes never go there", run.Causes)
		}
		h.shows(commit, "failed")
		h.merge(commit)
		h.heldJobIs(commit, "manual")
		h.staysShut(commit)
	})
	for name, path := range map[string]string{
		"by_resolve": `{url: "http://www.site.test/", resolve: {www.site.test: 169.254.169.254}}`,
		"by_address": `{url: "http://169.254.169.254/latest/meta-data/"}`,
		"mapped":     `{url: "http://[::ffff:169.254.169.254]/"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, setup{gates: "  - {name: site, kind: varnish, environments: [staging], paths: [" + path + "]}\n"})
			_, err := config.Load(h.file, config.Source{Getenv: h.getenv, ReadFile: os.ReadFile})
			if err == nil || !strings.Contains(err.Error(), "169.254.169.254") {
				t.Errorf("the file is taken: %v", err)
			}
		})
	}
}

// staysShut lets GitLab be looked at twice more, and demands that nobody has played anything.
func (h *house) staysShut(commit upgrade.Commit) {
	h.Helper()
	h.pass(2 * reconciled)
	if job, found := h.heldJob(commit); found && job.Status != "manual" || len(h.plays()) > 0 {
		h.Errorf("production was opened: %s, plays %v", job.Status, h.plays())
	}
}
