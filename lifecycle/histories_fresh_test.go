package lifecycle_test

// freshnessHistories are about what is true at the moment of unlocking (S1).
func freshnessHistories() []history {
	return []history{
		{"answers_grow_old", nil, `
			push staging v1
			wait 6m
			v1@edge unlocked
			wait 25m
			v1@edge relocked "older than 20m"
			status v1 failed
			same main v1
			wait 2m
			shut v1
			asks v1 closed`},
		{"old_answers_are_asked_again_by_hand", nil, `
			push staging v1
			wait 31m
			v1@edge relocked
			recheck v1@edge
			wait 2m
			v1@edge unlocked`},
		{"started_production_is_not_locked", nil, `
			push main v1
			wait 6m
			opened v1
			deploy v1 running
			wait 30m
			v1@edge unlocked
			deploy v1 success
			wait 1m
			v1@edge promoted`},
		{"failed_production_is_told", nil, `
			push main v1
			wait 6m
			deploy v1 failed
			wait 1m
			v1@edge unlocked "The production job failed"`},
		{"later_pipeline_of_the_same_content_is_opened_too", nil, `
			push main v1
			wait 6m
			opened v1
			asks v1 open`},
		{"armed_order_is_void_once_relocked", nil, `
			push staging v1
			wait 6m
			relock v1@edge
			same main v1
			wait 2m
			shut v1`},
		{"armed_order_is_delivered_days_later_only_if_fresh", nil, `
			push staging v1
			wait 30h
			v1@edge relocked
			same main v1
			wait 2m
			shut v1`},
		{"restart_while_settling", nil, `
			push staging v1
			wait 1m
			restart
			wait 6m
			v1@edge blocked|unlocked`},
		{"restart_when_unlocked", nil, `
			push staging v1
			wait 6m
			restart
			same main v1
			wait 1m
			opened v1`},
		{"promoted_content_goes_again", nil, `
			push main v1
			wait 6m
			deploy v1 success
			wait 1m
			asks v1 open
			push main v2
			wait 6m
			deploy v2 success
			wait 1m
			asks v1 closed`},
		{"refused_plans_are_made_again", nil, `
			push staging v1
			wait 6m
			v1@edge unlocked`},
	}
}
