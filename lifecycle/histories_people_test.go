package lifecycle_test

// peopleHistories are about what people say: yes, no, stop, override (S6).
func peopleHistories() []history {
	return []history{
		{"agreed", nil, `
			push staging v1!
			v1!@edge awaiting_approval "A person must agree"
			status v1! running
			approve v1!@edge
			wait 6m
			v1!@edge unlocked`},
		{"nobody_agreed_in_time", nil, `
			push staging v1!
			wait 4h1m
			v1!@edge blocked "nobody agreed within 4h"
			status v1! failed
			refused approve v1!@edge`},
		{"said_no", nil, `
			push staging v1!
			refuse v1!@edge
			v1!@edge blocked "hugo said no: because it is right"
			refused approve v1!@edge`},
		{"developers_do_not_agree", nil, `
			push staging v1!
			refused approve v1!@edge dev
			v1!@edge awaiting_approval`},
		{"authors_do_not_agree", nil, `
			mr 7 v1!
			v1!@edge awaiting_approval
			refused approve v1!@edge priya
			refused approve v1!@edge nobody
			approve v1!@edge rene
			wait 6m
			v1!@edge unlocked`},
		{"stopped_while_a_yes_is_awaited", nil, `
			push staging v1!
			stop v1!@edge dev
			v1!@edge stopped "Staging was not touched"
			status v1! canceled
			refused approve v1!@edge`},
		{"stopped_content_is_tested_when_it_comes_again", nil, `
			push staging v1
			stop v1@edge
			push staging v2
			wait 6m
			push staging v1
			wait 6m
			v1@edge#2 unlocked`},
		{"stopped_while_applying", nil, `
			hold
			push staging v1
			wait 1m
			stop v1@edge
			wait 1m
			v1@edge stopped "Staging was touched"
			shut v1`},
		{"yes_holds_over_a_plan_made_again", nil, `
			push staging v1!
			stale
			approve v1!@edge
			wait 6m
			v1!@edge unlocked
			runs 1`},
		{"yes_does_not_cover_another_change", nil, `
			push staging v1!
			approve v1!@edge
			wait 6m
			push staging v2!
			v2!@edge awaiting_approval`},
		{"overridden_by_two", nil, `
			push staging v1x
			wait 6m
			override v1x@edge hugo
			wait 1m
			v1x@edge blocked
			override v1x@edge rene
			wait 1m
			v1x@edge unlocked "Unlocked by hugo and rene although 1 gate failed"
			status v1x success
			same main v1x
			opened v1x
			asks v1x open`},
		{"one_person_twice_is_not_two", nil, `
			push staging v1x
			wait 6m
			override v1x@edge hugo
			override v1x@edge hugo
			wait 1m
			v1x@edge blocked`},
		{"second_person_too_late", nil, `
			push staging v1x
			wait 6m
			override v1x@edge hugo
			wait 31m
			override v1x@edge rene
			wait 1m
			v1x@edge blocked`},
		{"authors_do_not_override", nil, `
			mr 7 v1x
			wait 6m
			refused override v1x@edge priya
			refused override v1x@edge dev
			override v1x@edge hugo
			refused override v1x@edge priya
			v1x@edge blocked`},
		{"override_ends", nil, `
			push staging v1x
			wait 6m
			override v1x@edge hugo
			override v1x@edge rene
			wait 1m
			v1x@edge unlocked
			wait 25h
			v1x@edge relocked "its override has ended"
			same main v1x
			wait 2m
			shut v1x`},
		{"override_before_the_apply_still_needs_the_rest", nil, `
			push staging v1!x
			refuse v1!x@edge
			v1!x@edge blocked
			override v1!x@edge hugo
			override v1!x@edge rene
			wait 1m
			v1!x@edge awaiting_approval|settling|blocked`},
		{"override_does_not_help_once_staging_is_another", nil, `
			push staging v1x
			wait 6m
			push staging v2
			wait 1m
			refused override v1x@edge hugo
			v1x@edge blocked
			wait 6m
			v2@edge unlocked`},
		{"locked_by_hand", nil, `
			push staging v1
			wait 6m
			refused relock v1@edge dev
			relock v1@edge
			v1@edge relocked "because it is right"
			status v1 failed
			same main v1
			wait 1m
			shut v1`},
		{"unlocked_run_is_not_repeated", nil, `
			push staging v1
			wait 6m
			refused retry v1@edge
			refused rehearse v1@edge
			refused recheck v1@edge
			refused resolve v1@edge
			refused override v1@edge`},
		{"resolve_needs_a_release_manager", nil, `
			hold
			push staging v1
			wait 1m
			lose
			restart
			v1@edge interrupted
			refused resolve v1@edge dev
			refused retry v1@edge
			push staging v2
			wait 1m
			v2@edge queued
			resolve v1@edge
			v1@edge failed "hugo looked and says"
			wait 15m
			v2@edge blocked|unlocked`},
	}
}
