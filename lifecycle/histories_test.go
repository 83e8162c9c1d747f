package lifecycle_test

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// history is one script and the stacks that it plays on.
type history struct {
	name   string
	stacks []upgrade.Stack // nil: one stack
	script string
}

// allHistories lists every history.
func allHistories() []history {
	return slices.Concat(refHistories(), mergeHistories(), stackHistories(), changeHistories(), peopleHistories(), freshnessHistories())
}

// TestHistories plays every history as it is written, with every delivery doubled, and with deliveries
// held up and reordered: they are hints, so what comes of them must be the same (S7).
func TestHistories(t *testing.T) {
	all := allHistories()
	if len(all) < 80 {
		t.Errorf("%d histories, want at least 80", len(all))
	}
	names := map[string]bool{}
	for i, h := range all {
		if names[h.name] {
			t.Errorf("two histories are called %s", h.name)
		}
		names[h.name] = true
		for _, variant := range variants(i) {
			t.Run(h.name+"/"+orPlain(variant), func(t *testing.T) {
				t.Parallel()
				stacks := h.stacks
				if stacks == nil {
					stacks = []upgrade.Stack{one()}
				}
				play(t, variant, seed(), h.script, stacks...)
			})
		}
	}
	t.Logf("deliveries were reordered with UPGRADEGATE_SOAK_SEED=%d", seed())
}

// variants returns how a history is played: every way in the soak, else plainly, and half of them by turns
// in another way too.
func variants(i int) []string {
	switch {
	case !mine(i, 20):
		return nil
	case soak():
		return []string{"", doubled, reordered}
	}
	turn := []string{"", doubled, "", reordered}[(i+int(seed()))%4]
	if turn == "" || raced {
		return []string{turn}
	}
	return []string{"", turn}
}

// mine reports whether the i-th of many is played: each without the race detector, else one of n.
func mine(i, n int) bool { return !raced || (uint64(i)+seed())%uint64(n) == 0 }

// soak reports whether the long tests run whole.
func soak() bool { return os.Getenv("UPGRADEGATE_SOAK") != "" }

// seed is of the order in which deliveries arrive and of random histories; UPGRADEGATE_SOAK_SEED repeats one.
var seed = sync.OnceValue(func() uint64 {
	if n, err := strconv.ParseUint(os.Getenv("UPGRADEGATE_SOAK_SEED"), 10, 64); err == nil {
		return n
	}
	return rand.Uint64N(1e6)
})

func orPlain(variant string) string {
	if variant == "" {
		return "plain"
	}
	return variant
}

func one() upgrade.Stack {
	stack := edge()
	stack.Staging.ApprovalDeadline = 4 * time.Hour
	return stack
}

// dirStack is one of several stacks of a project, in a folder of its own.
func dirStack(name string) upgrade.Stack {
	stack := one()
	stack.Name, stack.Dir, stack.Paths = upgrade.StackName(name), name, []string{name + "/**"}
	stack.Staging.Workspace = name
	return stack
}

// two stacks of one project share the job that opens production.
func two() []upgrade.Stack { return []upgrade.Stack{dirStack("a"), dirStack("b")} }

// chain is two, of which b comes after a.
func chain() []upgrade.Stack {
	stacks := two()
	stacks[1].After = []upgrade.StackName{"a"}
	return stacks
}

// cross is two stacks of two projects, of which edge comes after net.
func cross() []upgrade.Stack {
	stack, net := one(), one()
	net.Name, net.Project, net.Staging.Workspace = "net", "platform/net", "net"
	stack.After = []upgrade.StackName{"net"}
	return []upgrade.Stack{stack, net}
}

// refHistories are about which tree a push means.
func refHistories() []history {
	return []history{
		{"passes_and_is_opened", nil, `
			push staging v1
			wait 6m
			v1@edge unlocked "Ready for production: all 1 gate passed"
			status v1 success
			shut v1
			same main v1
			opened v1
			asks v1 open
			deploy v1 success
			v1@edge promoted "Went to production"`},
		{"fails_and_stays_shut", nil, `
			push staging v1x
			wait 6m
			v1x@edge blocked "staging cannot start instances"
			status v1x failed
			same main v1x
			wait 3m
			shut v1x
			asks v1x closed`},
		{"unknown_is_not_a_pass", nil, `
			gate unknown
			push staging v1
			wait 20m
			v1@edge blocked "could not run"
			same main v1
			shut v1`},
		{"production_push_of_known_content_joins", nil, `
			push staging v1
			same main v1
			runs 1
			wait 6m
			runs 1
			opened v1`},
		{"production_push_of_unknown_content_is_tested", nil, `
			push main v1
			v1@edge settling
			shut v1
			asks v1 waiting
			wait 6m
			v1@edge unlocked
			opened v1`},
		{"newer_push_supersedes_what_waits", nil, `
			hold
			push staging v1
			wait 1m
			push staging v2
			wait 1m
			push staging v3
			wait 1m
			v2@edge superseded "tests a newer commit"
			v3@edge queued "is using staging"
			release
			wait 15m
			v1@edge blocked|relocked
			v3@edge unlocked`},
		{"push_back_and_forth_keeps_the_run", nil, `
			hold
			push staging v1
			wait 1m
			push staging v2
			push staging v3
			push staging v2
			wait 1m
			release
			wait 15m
			v2@edge unlocked`},
		{"older_content_is_relocked_when_nothing_leads_to_it", nil, `
			push staging v1
			wait 6m
			v1@edge unlocked
			push staging v2
			v1@edge relocked "no watched branch leads to this content"
			status v1 failed
			wait 6m
			v2@edge unlocked
			same main v1
			wait 1m
			shut v1`},
		{"relocked_content_pushed_to_production_is_not_opened", nil, `
			push staging v1
			wait 6m
			push staging v2
			wait 6m
			same main v1
			asks v1 closed|waiting
			wait 1m
			shut v1`},
		{"two_branches_lead_to_it", nil, `
			push staging v1
			same main v1
			wait 2m
			push staging v2
			wait 6m
			v1@edge unlocked
			opened v1
			v2@edge queued "on its way to production"
			deploy v1 success
			wait 1m
			v2@edge settling`},
		{"revert_is_tested_anew", nil, `
			push staging v1
			wait 6m
			push staging v2
			wait 6m
			push staging v1
			v1@edge#2 settling
			wait 6m
			v1@edge#2 unlocked
			v2@edge relocked`},
		{"revert_before_the_apply_keeps_the_first_run", nil, `
			hold
			push staging v1
			wait 1m
			push staging v2
			wait 1m
			push staging v1
			wait 1m
			release
			wait 6m
			v1@edge unlocked
			v2@edge superseded
			runs 2`},
		{"squash_gives_the_same_content", nil, `
			push staging v1
			wait 6m
			same staging v1
			wait 1m
			same main v1
			runs 1
			opened v1`},
		{"force_push_while_queued", nil, `
			hold
			push staging v0
			wait 1m
			push staging v1
			wait 1m
			force staging v2
			wait 1m
			v1@edge superseded
			release
			wait 12m
			v2@edge unlocked`},
		{"force_push_while_applying", nil, `
			hold
			push staging v1
			wait 1m
			force staging v2
			wait 1m
			v1@edge applying
			release
			wait 12m
			v1@edge relocked|blocked "no watched branch leads"
			v2@edge unlocked
			staging staging v2`},
		{"force_push_while_settling", nil, `
			push staging v1
			wait 1m
			v1@edge settling
			force staging v2
			wait 12m
			v1@edge relocked
			v2@edge unlocked`},
		{"force_push_while_a_yes_is_awaited", nil, `
			push staging v1!
			v1!@edge awaiting_approval
			force staging v2
			wait 1m
			v1!@edge superseded
			wait 6m
			v2@edge unlocked
			staging staging v2`},
		{"force_push_when_unlocked", nil, `
			push staging v1
			wait 6m
			v1@edge unlocked
			force staging v2
			wait 1m
			v1@edge relocked
			same main v1
			wait 1m
			shut v1`},
		{"force_push_when_blocked", nil, `
			push staging v1x
			wait 6m
			force staging v2
			wait 6m
			v1x@edge blocked
			v2@edge unlocked`},
		{"force_push_when_failed", nil, `
			push staging v1^
			v1^@edge failed "Terraform stopped"
			status v1^ failed
			force staging v2
			wait 6m
			v2@edge unlocked`},
		{"staging_branch_deleted_while_queued", nil, `
			hold
			push staging v0
			wait 1m
			push staging v1
			wait 1m
			delete staging
			wait 1m
			v1@edge superseded
			release
			wait 6m
			v0@edge relocked|blocked`},
		{"staging_branch_deleted_when_unlocked", nil, `
			push staging v1
			wait 6m
			delete staging
			wait 1m
			v1@edge relocked "no watched branch"
			status v1 failed`},
		{"staging_branch_deleted_after_production_had_it", nil, `
			push staging v1
			same main v1
			wait 6m
			delete staging
			wait 1m
			v1@edge unlocked
			opened v1`},
		{"staging_branch_deleted_while_applying", nil, `
			hold
			push staging v1
			wait 1m
			delete staging
			wait 1m
			v1@edge applying
			release
			wait 6m
			v1@edge relocked
			shut v1`},
		{"unprotected_branch_runs_nothing", nil, `
			unprotect staging
			push staging v1
			wait 6m
			v1@edge none
			runs 0
			fate not protected`},
		{"branch_protected_later", nil, `
			unprotect staging
			push staging v1
			wait 1m
			protect staging
			again
			wait 6m
			v1@edge unlocked`},
		{"protection_lost_before_the_next_push", nil, `
			push staging v1
			wait 6m
			unprotect staging
			push staging v2
			wait 2m
			v2@edge none
			v1@edge relocked`},
		{"events_days_late", nil, `
			push staging v1
			wait 6m
			push staging v2
			wait 6m
			v2@edge unlocked
			again
			runs 2
			v2@edge unlocked
			v1@edge relocked`},
		{"project_renamed", nil, `
			push staging v1
			wait 1m
			rename platform/edge platform/new
			wait 6m
			v1@edge unlocked
			rename platform/new platform/edge
			push staging v2
			wait 6m
			v2@edge unlocked`},
		{"project_renamed_before_a_push", nil, `
			push staging v1
			wait 6m
			rename platform/edge platform/new
			push platform/new:staging v2
			wait 1m
			v2@edge none
			fate put the new name into the configuration`},
	}
}
