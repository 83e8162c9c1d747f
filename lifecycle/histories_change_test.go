package lifecycle_test

// changeHistories are about second tries: a no of the open change stays (S12).
func changeHistories() []history {
	return []history{
		{"retry_inherits_the_outage", nil, `
			push staging v1~
			wait 6m
			v1~@edge blocked "the site was down"
			retry v1~@edge
			wait 6m
			v1~@edge#2 blocked "run 1, which is part of this change: longest outage 1.2 s"
			same main v1~
			shut v1~
			asks v1~ closed`},
		{"recheck_does_not_wash_the_outage", nil, `
			push staging v1~
			wait 6m
			recheck v1~@edge
			wait 2m
			v1~@edge blocked "the site was down"`},
		{"revert_and_reapply_does_not_wash_it", nil, `
			push main v0
			wait 6m
			deploy v0 success
			wait 1m
			push staging v1~
			wait 6m
			v1~@edge blocked
			push staging v0
			wait 12m
			v0@edge#2 promoted
			push staging v1~
			wait 12m
			v1~@edge#2 blocked "the site was down"
			shut v1~`},
		{"another_commit_rehearses_by_itself", nil, `
			push main v0
			wait 6m
			deploy v0 success
			wait 1m
			push staging v1~
			wait 6m
			v1~@edge blocked
			push staging v2
			wait 12m
			v2@edge unlocked
			same main v2
			opened v2`},
		{"another_commit_with_an_outage_of_its_own", nil, `
			push main v0
			wait 6m
			deploy v0 success
			wait 1m
			push staging v1~
			wait 6m
			push staging v2~
			wait 12m
			v2~@edge blocked "the site was down"
			shut v2~`},
		{"rehearsal_that_shows_the_outage_again", nil, `
			push main v0
			wait 6m
			deploy v0 success
			wait 1m
			push staging v1~
			wait 6m
			rehearse v1~@edge
			wait 12m
			v1~@edge#2 blocked "the site was down"
			staging staging v1~`},
		{"rehearsal_needs_a_base", nil, `
			push staging v1~
			wait 6m
			refused rehearse v1~@edge dev
			rehearse v1~@edge
			wait 12m
			v1~@edge#2 blocked`},
		{"rehearsal_back_that_needs_a_yes", nil, `
			push main v0!
			approve v0!@edge
			wait 6m
			deploy v0! success
			wait 1m
			push staging v1~
			wait 6m
			v1~@edge blocked
			rehearse v1~@edge
			wait 1m
			v1~@edge#2 awaiting_approval
			approve v1~@edge#2
			wait 12m
			v1~@edge#2 blocked "the site was down"`},
		{"a_yes_to_the_way_back_is_none_to_the_way_forth", nil, `
			push main v0!
			approve v0!@edge
			wait 6m
			deploy v0! success
			wait 1m
			push staging v1~!
			approve v1~!@edge
			wait 6m
			v1~!@edge blocked
			rehearse v1~!@edge
			wait 1m
			approve v1~!@edge#2
			wait 6m
			v1~!@edge#2 awaiting_approval
			approve v1~!@edge#2
			wait 12m
			v1~!@edge#2 blocked "the site was down"`},
		{"rehearsal_back_refused_leaves_staging", nil, `
			push main v0!
			approve v0!@edge
			wait 6m
			deploy v0! success
			wait 1m
			push staging v1~
			wait 6m
			rehearse v1~@edge
			refuse v1~@edge#2
			wait 1m
			v1~@edge#2 blocked "hugo said no"
			staging staging v1~`},
		{"failed_apply_keeps_its_outage", nil, `
			push main v0
			wait 6m
			deploy v0 success
			wait 1m
			push staging v1^
			v1^@edge failed
			push staging v2
			wait 6m
			v2@edge unlocked`},
		{"stack_new_since_the_base_goes_back_to_nothing", two(), `
			push main a=0
			wait 6m
			deploy a=0 success
			wait 1m
			base b a=0
			push staging a=0,b=1~
			wait 6m
			a=0,b=1~@b blocked
			push staging a=0,b=2
			wait 14m
			a=0,b=2@b unlocked
			staging b 2`},
		{"promotion_closes_the_change", nil, `
			push staging v1~
			wait 6m
			v1~@edge blocked
			override v1~@edge hugo
			override v1~@edge rene
			wait 1m
			v1~@edge unlocked
			same main v1~
			wait 1m
			deploy v1~ success
			wait 1m
			v1~@edge promoted
			push staging v2
			wait 6m
			v2@edge unlocked`},
		{"interrupted_apply_is_in_the_change", nil, `
			push main v0
			wait 6m
			deploy v0 success
			wait 1m
			hold
			push staging v1
			wait 1m
			lose
			restart
			v1@edge interrupted "nobody knows whether staging is whole"
			status v1 failed
			resolve v1@edge
			v1@edge failed
			retry v1@edge
			wait 6m
			v1@edge#2 blocked "run 2, which is part of this change"
			rehearse v1@edge
			wait 12m
			v1@edge#3 unlocked`},
		{"rehearsed_from_what_somebody_let_through", nil, anotherProduction + `
			deploy v4 success
			fate production of edge has
			push staging v2
			wait 1m
			staging staging v4
			wait 12m
			v2@edge unlocked`},
		{"rehearsed_from_what_nobody_told_of", nil, anotherProduction + `
			deploy v4 success quietly
			push staging v2
			wait 1m
			staging staging v4
			wait 12m
			v2@edge unlocked`},
		{"production_moves_while_the_way_back_is_planned", nil, anotherProduction + `
			hold plan
			push staging v2
			wait 1m
			deploy v4 success
			fate production of edge has
			release plan
			wait 1m
			staging staging v4
			wait 12m
			v2@edge unlocked`},
		{"production_moves_when_staging_is_back", nil, anotherProduction + `
			hold
			push staging v2
			wait 1m
			hold plan
			release
			wait 1m
			staging staging v0
			deploy v4 success
			fate production of edge has
			release plan
			wait 1m
			staging staging v4
			wait 12m
			v2@edge unlocked`},
		{"lost_apply_with_nothing_left_was_not_watched", nil, `
			push main v0
			wait 6m
			deploy v0 success
			wait 1m
			hold
			push staging v1
			wait 1m
			lose whole
			restart
			wait 6m
			v1@edge blocked
			shut v1
			rehearse v1@edge
			wait 12m
			v1@edge#2 unlocked`},
		{"lost_apply_is_finished_by_a_new_plan", nil, `
			push main v0
			wait 6m
			deploy v0 success
			wait 1m
			hold
			push staging v1
			wait 1m
			lose rest
			restart
			wait 6m
			v1@edge blocked
			shut v1`},
		{"the_yes_holds_for_what_is_left_if_it_is_the_same", nil, `
			hold
			push staging v1!
			wait 1m
			v1!@edge awaiting_approval
			approve v1!@edge
			wait 1m
			lose rest
			restart
			v1!@edge settling`},
		{"what_was_being_created_when_the_apply_was_lost_may_exist", nil, `
			hold
			push staging v1+
			wait 1m
			lose rest
			restart
			v1+@edge interrupted "aws_x.y was being created"
			shut v1+`},
		{"restart_during_an_apply_leaves_the_watch_blind", nil, `
			hold
			push staging v1
			wait 1m
			restart
			wait 6m
			v1@edge blocked|interrupted
			shut v1`},
	}
}

// anotherProduction is a production that has v0, a result for v4 that has expired, and an outage on staging.
const anotherProduction = `
	push main v0
	wait 6m
	deploy v0 success
	wait 1m
	push main v4
	wait 6m
	v4@edge unlocked
	wait 25m
	v4@edge relocked
	push staging v1~
	wait 6m
	v1~@edge blocked`
