package lifecycle_test

// mergeHistories are about merge requests: what merging them would give, and who may have it run (S13).
func mergeHistories() []history {
	return []history{
		{"merge_request_is_opened_once_merged", nil, `
			mr 7 v1
			wait 6m
			v1@edge unlocked "Merge it: upgrade-gate is played as soon as"
			status v1 success
			note 7 May go to production
			land 7
			wait 1m
			runs 1
			opened v1
			asks v1 open`},
		{"draft_runs_nothing", nil, `
			mr 7 v1
			draft 7
			again
			mr 7 v2
			wait 2m
			v2@edge none
			note 7 it is a draft
			fate it is a draft
			ready 7
			wait 12m
			v1@edge relocked|none
			v2@edge unlocked`},
		{"becomes_a_draft_in_the_middle", nil, `
			mr 7 v1
			wait 1m
			draft 7
			wait 6m
			v1@edge unlocked`},
		{"nobody_approved_the_newest_version", nil, `
			mr 7 v1
			wait 6m
			v1@edge unlocked
			mr 7 v2
			unapprove 7
			wait 2m
			v2@edge none|superseded|relocked|unlocked|settling`},
		{"unapproved_push_takes_the_old_content_back", nil, `
			mr 7 v1
			wait 6m
			v1@edge unlocked
			unapprove 7
			wait 1m
			v1@edge unlocked`},
		{"closed_while_queued", nil, `
			hold
			push staging v0
			wait 1m
			mr 7 v1
			wait 1m
			close 7
			wait 1m
			v1@edge superseded
			release
			wait 6m
			v0@edge unlocked`},
		{"closed_while_settling", nil, `
			mr 7 v1
			wait 1m
			close 7
			wait 6m
			v1@edge relocked "no watched branch leads"
			status v1 failed`},
		{"closed_while_a_yes_is_awaited", nil, `
			mr 7 v1!
			wait 1m
			v1!@edge awaiting_approval
			close 7
			wait 1m
			v1!@edge superseded`},
		{"closed_when_unlocked", nil, `
			mr 7 v1
			wait 6m
			close 7
			wait 1m
			v1@edge relocked
			status v1 failed`},
		{"closed_and_reopened_is_not_opened_by_itself", nil, `
			mr 7 v1
			wait 6m
			close 7
			wait 1m
			reopen 7
			wait 1m
			v1@edge relocked
			recheck v1@edge
			wait 2m
			v1@edge unlocked`},
		{"target_changed_while_settling", nil, `
			mr 7 v1
			wait 1m
			retarget 7
			wait 6m
			v1@edge relocked
			shut v1`},
		{"target_changed_while_queued", nil, `
			hold
			push staging v0
			wait 1m
			mr 7 v1
			wait 1m
			retarget 7
			wait 1m
			v1@edge superseded
			release
			wait 6m
			v0@edge unlocked`},
		{"target_changed_when_unlocked", nil, `
			mr 7 v1
			wait 6m
			retarget 7
			wait 1m
			v1@edge relocked`},
		{"rebase_of_the_same_content_keeps_the_run", nil, `
			mr 7 v1
			wait 6m
			mr 7 v1
			wait 1m
			runs 1
			v1@edge unlocked
			land 7
			wait 1m
			opened v1`},
		{"push_to_it_supersedes", nil, `
			hold
			push staging v0
			wait 1m
			mr 7 v1
			wait 1m
			mr 7 v2
			wait 1m
			v1@edge superseded
			v2@edge queued
			release
			wait 6m
			v0@edge unlocked`},
		{"target_moves_and_gives_new_content", two(), `
			push main a=1,b=1
			wait 6m
			deploy a=1,b=1 success
			wait 1m
			mr 7 a=2,b=1
			wait 6m
			a=2,b=1@a unlocked
			push main a=1,b=2
			wait 12m
			a=2,b=1@a relocked
			a=2,b=2@a queued|settling|unlocked|relocked`},
		{"merge_result_nobody_ran_is_shut", two(), `
			push main a=1,b=1
			wait 6m
			deploy a=1,b=1 success
			wait 1m
			mr 7 a=2,b=1
			wait 6m
			a=2,b=1@a unlocked
			push main a=1,b=2
			land 7
			wait 1m
			shut a=2,b=2
			asks a=2,b=2 waiting|closed
			shut a=2,b=1`},
		{"conflict_runs_nothing", nil, `
			push main conflict
			wait 6m
			mr 7 v1
			wait 1m
			v1@edge none
			note 7 conflicts with main
			fate conflicts with main`},
		{"merged_before_its_run_is_through", nil, `
			mr 7 v1
			wait 1m
			land 7
			v1@edge settling
			shut v1
			asks v1 waiting
			wait 6m
			v1@edge unlocked
			opened v1`},
		{"merged_although_blocked", nil, `
			mr 7 v1x
			wait 6m
			v1x@edge blocked
			note 7 staging cannot start instances
			land 7
			wait 2m
			runs 1
			shut v1x
			asks v1x closed`},
		{"two_merge_requests_take_turns", nil, `
			mr 7 v1
			wait 1m
			mr 8 v2
			wait 6m
			v1@edge unlocked
			v2@edge queued "run 1 is on its way to production"
			land 7
			wait 1m
			deploy v1 success
			wait 10m
			v1@edge promoted
			v2@edge none|superseded|queued|settling|unlocked`},
		{"next_one_is_let_in", nil, `
			mr 7 v1
			wait 1m
			mr 8 v2
			wait 6m
			v2@edge queued
			relock v1@edge
			wait 6m
			v1@edge relocked "because it is right"
			v2@edge unlocked
			refused recheck v1@edge`},
		{"same_content_on_staging_and_in_a_merge_request", nil, `
			push staging v1
			mr 7 v1
			runs 1
			wait 6m
			close 7
			wait 1m
			v1@edge unlocked`},
		{"opens_again_after_a_second_thought", nil, `
			mr 7 v1
			wait 6m
			relock v1@edge
			land 7
			wait 1m
			shut v1
			recheck v1@edge
			wait 2m
			v1@edge unlocked
			opened v1`},
	}
}
