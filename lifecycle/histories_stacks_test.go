package lifecycle_test

// stackHistories are about upgrades that touch several stacks, and stacks that come after others.
func stackHistories() []history {
	return []history{
		{"both_stacks_open", two(), `
			push staging a=1,b=1
			same main a=1,b=1
			wait 6m
			a=1,b=1@a unlocked
			a=1,b=1@b unlocked
			opened a=1,b=1`},
		{"one_stack_is_enough_to_shut", two(), `
			push staging a=1,b=1x
			same main a=1,b=1x
			wait 6m
			a=1,b=1x@a relocked "of b, which this change touches too, ended blocked"
			a=1,b=1x@b blocked
			shut a=1,b=1x
			asks a=1,b=1x closed`},
		{"second_commit_touches_another_stack", two(), `
			push main a=0,b=0
			wait 6m
			deploy a=0,b=0 success
			wait 1m
			push staging a=1x,b=0
			wait 6m
			a=1x,b=0@a blocked
			a=1x,b=0@b none
			push staging a=1x,b=1
			same main a=1x,b=1
			wait 12m
			a=1x,b=1@a blocked
			a=1x,b=1@b relocked|blocked
			shut a=1x,b=1
			asks a=1x,b=1 closed`},
		{"untouched_stack_gets_no_run", two(), `
			push main a=0,b=0
			wait 6m
			deploy a=0,b=0 success
			wait 1m
			push staging a=1,b=0
			same main a=1,b=0
			wait 6m
			a=1,b=0@a unlocked
			a=1,b=0@b none
			opened a=1,b=0`},
		{"stack_that_staging_has_otherwise_is_touched", two(), `
			push main a=0,b=0
			wait 6m
			deploy a=0,b=0 success
			wait 1m
			push staging a=0,b=1
			wait 6m
			a=0,b=1@b unlocked
			push staging a=1,b=0
			wait 12m
			a=1,b=0@a unlocked
			a=1,b=0@b unlocked
			staging b 0`},
		{"newly_touched_stack_gets_a_run_first", two(), `
			push main a=0,b=0
			wait 6m
			deploy a=0,b=0 success
			wait 1m
			push staging a=1,b=0
			wait 6m
			a=1,b=0@a unlocked
			base b a=0,b=0
			push staging a=1,b=1
			wait 12m
			a=1,b=0@a relocked
			a=1,b=1@b unlocked`},
		{"nothing_of_it_is_tested_here", two(), `
			push main a=0,b=0
			wait 6m
			deploy a=0,b=0 success
			wait 1m
			push main a=0,b=0,docs=1
			wait 1m
			a=0,b=0,docs=1@a none
			asks a=0,b=0,docs=1 open`},
		{"unheard_of_commit_is_shut", two(), `
			push main a=0,b=0
			wait 6m
			asks never closed`},
		{"order_of_stacks", chain(), `
			push staging a=1,b=1
			wait 1m
			a=1,b=1@a settling
			a=1,b=1@b queued "comes first"
			wait 12m
			a=1,b=1@a unlocked
			a=1,b=1@b unlocked`},
		{"stack_behind_a_broken_one_is_blocked", chain(), `
			push staging a=1x,b=1
			wait 7m
			a=1x,b=1@a blocked
			a=1x,b=1@b blocked "a comes first, and its run 1 ended blocked"
			status a=1x,b=1 failed`},
		{"stack_behind_a_stopped_one_is_blocked", chain(), `
			push staging a=1,b=1
			wait 1m
			stop a=1,b=1@a
			wait 1m
			a=1,b=1@a stopped
			a=1,b=1@b blocked "ended stopped"`},
		{"stack_behind_a_repaired_one_goes_on_when_retried", chain(), `
			gate no
			push staging a=1,b=1
			wait 6m
			a=1,b=1@b blocked
			gate ok
			recheck a=1,b=1@a
			wait 1m
			a=1,b=1@a relocked|unlocking
			retry a=1,b=1@b
			wait 12m
			a=1,b=1@a unlocked
			a=1,b=1@b#2 unlocked`},
		{"other_project_is_waited_for", cross(), `
			push platform/net:staging n1
			n1@net settling
			push staging v1
			wait 1m
			v1@edge queued "run 1 is changing net, which comes first"
			wait 12m
			n1@net unlocked
			v1@edge unlocked`},
		{"other_project_blocked_is_a_warning", cross(), `
			push platform/net:staging n1x
			wait 6m
			n1x@net blocked
			push staging v1
			wait 6m
			v1@edge unlocked "net comes first, and its run 1 is blocked"`},
		{"other_project_interrupted_is_waited_for", cross(), `
			hold
			push platform/net:staging n1
			wait 1m
			lose
			restart
			n1@net interrupted
			push staging v1
			wait 1m
			v1@edge queued
			resolve n1@net
			wait 6m
			n1@net failed
			v1@edge unlocked`},
		{"upgrades_go_in_one_order_on_shared_stacks", two(), `
			hold
			push main a=1,b=1
			wait 1m
			push staging a=2,b=2
			wait 1m
			a=2,b=2@a queued
			a=2,b=2@b queued
			release
			wait 6m
			a=1,b=1@a unlocked
			a=1,b=1@b unlocked
			a=2,b=2@a queued "on its way to production"
			deploy a=1,b=1 success
			wait 7m
			a=2,b=2@a unlocked
			a=2,b=2@b unlocked`},
		{"failed_half_does_not_hold_up_the_others", two(), `
			push main a=1x,b=1
			wait 1m
			push staging a=2,b=2
			wait 14m
			a=1x,b=1@a blocked
			a=1x,b=1@b relocked
			a=2,b=2@a unlocked
			a=2,b=2@b unlocked`},
		{"retry_comes_behind_what_waits", two(), `
			push main a=1^,b=1
			wait 1m
			a=1^,b=1@a failed
			push staging a=2,b=2
			retry a=1^,b=1@a
			wait 15m
			a=1^,b=1@a#2 failed
			a=2,b=2@a unlocked
			a=2,b=2@b unlocked`},
		{"reverted_upgrade_does_not_wait_for_itself", two(), `
			push main a=1,b=1
			wait 1m
			push staging a=2,b=2
			wait 1m
			push staging a=1,b=1
			wait 20m
			a=1,b=1@a unlocked
			a=1,b=1@b unlocked
			a=2,b=2@a superseded`},
		{"relocked_half_is_judged_again_when_the_other_is_through", two(), `
			gate no
			push staging a=1,b=1
			wait 6m
			a=1,b=1@a blocked|relocked
			gate ok
			recheck a=1,b=1@a
			wait 2m
			a=1,b=1@a relocked "judged again by itself"
			recheck a=1,b=1@b
			wait 3m
			a=1,b=1@a unlocked
			a=1,b=1@b unlocked`},
		{"shared_job_is_played_once", two(), `
			push main a=1,b=1
			wait 8m
			opened a=1,b=1
			wait 10m
			opened a=1,b=1`},
		{"promoted_content_comes_again_while_staging_becomes_another", chain(), `
			push main a=0,b=2
			wait 12m
			deploy a=0,b=2 success
			wait 1m
			mr 1 a=1,b=3
			a=1,b=3@a settling
			a=1,b=3@b queued
			push main a=0,b=2
			wait 12m
			staging b 3
			a=0,b=2@a#2 queued|settling|checking
			wait 30m
			staging b 2
			a=0,b=2@b#2 promoted|unlocked`},
		{"promotion_of_both", two(), `
			push main a=1,b=1
			wait 6m
			deploy a=1,b=1 success
			wait 1m
			a=1,b=1@a promoted
			a=1,b=1@b promoted
			asks a=1,b=1 open`},
	}
}
