package gitlabsim

// composite returns the one status that the newest rows of all stages before the given one have
// together, empty for no rows. The rules and their order are those of GitLab's
// lib/gitlab/ci/status/composite.rb.
func composite(jobs []*job, before int) string {
	seen := map[string]bool{}
	for _, j := range jobs {
		if !j.Retried && j.stage < before {
			seen[effective(j)] = true
		}
	}
	only := func(statuses ...string) bool {
		n := 0
		for _, s := range statuses {
			if seen[s] {
				n++
			}
		}
		return n == len(seen)
	}
	switch {
	case len(seen) == 0:
		return ""
	case only("skipped", "ignored"):
		if seen["ignored"] {
			return "success"
		}
		return "skipped"
	case only("success", "skipped", "warning", "ignored"):
		return "success"
	case only("created", "warning", "ignored"):
		return "created"
	case only("canceled", "success", "skipped", "warning", "ignored"):
		return "canceled"
	case only("pending", "created", "skipped", "warning", "ignored"):
		return "pending"
	case seen["running"], seen["pending"]:
		return "running"
	case seen["manual"]:
		return "manual"
	case seen["created"]:
		return "running"
	}
	return "failed"
}

// effective is a row's status as it counts: what may fail does not hold anything up.
func effective(j *job) string {
	if j.AllowFailure {
		switch j.Status {
		case "manual":
			return "ignored"
		case "failed", "canceled":
			return "warning"
		}
	}
	return j.Status
}
