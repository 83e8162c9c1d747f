package bench

import (
	"fmt"
	"strings"
)

// own puts what a copy has of its own into a text of its model.
func own(column string) string {
	for mark, value := range map[string]string{
		markVersion: "o.version", markBase: "o.base", markFirst: "o.first", markFamily: "o.family", markGrant: "'grant-' || o.thing", markThing: "o.thing", modelDay: "o.day",
	} {
		column = fmt.Sprintf("replace(%s, '%s', %s)", column, mark, value)
	}
	// A model's stack has its number behind it: more digits first.
	column = fmt.Sprintf("replace(%s, '%s' || o.model, o.stack)", column, markStack)
	return fmt.Sprintf("replace(%s, '%s', o.stack)", column, markStack)
}

// commitSQL is a commit's name: forty hexadecimal digits that nothing else has.
const commitSQL = `lower(hex(o.thing)) || printf('%08x', o.id)`

// copies are the statements that write the copies, in order of the primary keys, so that pages fill up.
func copies() []string {
	from := ` FROM temp.own o JOIN m.%s x ON x.%s = o.model ORDER BY o.id`
	of := func(table, key string) string { return fmt.Sprintf(from, table, key) }
	at := func(column string) string {
		return `CASE WHEN ` + column + ` = 0 THEN 0 ELSE ` + column + ` + o.days END`
	}
	return []string{
		`INSERT INTO upgrades (id, project_id, project, tree, created_at) SELECT o.id, 1, 'platform/edge', 'tree' || o.id, ` + at("x.created_at") + of("upgrades", "id"),
		`INSERT INTO runs (id, upgrade_id, project_id, stack, environment, tree, commit_name, attempt, phase, slot, rev, event_seq, created_at, month, doc)
			SELECT o.id, o.id, 1, o.stack, 'staging', 'tree' || o.id, ` + commitSQL + `, 1, x.phase,
			CASE WHEN x.slot IS NULL THEN NULL ELSE o.stack || char(9) || 'staging' END, x.rev, x.event_seq, ` + at("x.created_at") + `, o.month, ` + own("x.doc") + of("runs", "id"),
		`INSERT INTO answers (run_id, n, ref, commit_name, merge_request, at)
			SELECT o.id, x.n, ` + own("x.ref") + `, ` + commitSQL + `, CASE x.merge_request WHEN 0 THEN 0 ELSE o.mr END, ` + at("x.at") + strings.Replace(of("answers", "run_id"), "o.id", "o.id, x.n", 1),
		`INSERT INTO results (id, run_id, gate, stage, environment, outcome, doc)
			SELECT 16 * o.id + x.id - (SELECT min(id) FROM m.results f WHERE f.run_id = o.model), o.id, x.gate, x.stage, x.environment, x.outcome, ` + own("x.doc") + strings.Replace(of("results", "run_id"), "o.id", "o.id, x.id", 1),
		`INSERT INTO evidence (result_id, doc, memo, pending)
			SELECT 16 * o.id + x.id - (SELECT min(id) FROM m.results f WHERE f.run_id = o.model), CASE WHEN instr(e.doc, 'zz') THEN ` + own("e.doc") + ` ELSE replace(e.doc, '` + modelDay + `', o.day) END, '', ''
			FROM temp.own o JOIN m.results x ON x.run_id = o.model JOIN m.evidence e ON e.result_id = x.id ORDER BY o.id, x.id`,
		`INSERT INTO applies (run_id, n, seq, stack, environment, file_digest, state, doc)
			SELECT o.id, 1, o.id, o.stack, 'staging', 'file' || o.id, x.state, replace(x.doc, '` + modelDay + `', o.day)` + of("applies", "run_id"),
		`INSERT INTO orders (id, upgrade_id, run_id, hold_key, state, doc) SELECT o.id, o.id, o.id, x.hold_key, x.state, replace(x.doc, '` + modelDay + `', o.day)` + of("orders", "run_id"),
		`INSERT INTO posted (run_id, commit_name, pipeline, state, text, at) SELECT o.id, ` + commitSQL + `, o.id, x.state, x.text, ` + at("x.at") + of("posted", "run_id"),
		// The journal, in the order in which it came.
		`CREATE TEMP TABLE begun AS SELECT o.id, sum(r.event_seq) OVER (ORDER BY o.id) - r.event_seq AS before FROM temp.own o JOIN m.runs r ON r.id = o.model`,
		`CREATE UNIQUE INDEX temp.begun_id ON begun (id)`,
		`INSERT INTO events (run_id, seq, id, at, kind, who, text, data)
			SELECT o.id, x.seq, b.before + x.seq, ` + at("x.at") + `, x.kind, x.who, CASE WHEN instr(x.text, 'zz') THEN ` + own("x.text") + ` ELSE x.text END, x.data
			FROM temp.own o JOIN temp.begun b ON b.id = o.id JOIN m.events x ON x.run_id = o.model ORDER BY o.id, x.seq`,
		`INSERT INTO run_words (word, run_id) SELECT DISTINCT
			CASE WHEN x.word = CAST(x.run_id AS TEXT) THEN CAST(o.id AS TEXT) WHEN x.word = '` + fmt.Sprint(markRequest) + `' THEN CAST(o.mr AS TEXT)
				WHEN length(x.word) = 40 THEN ` + commitSQL + ` WHEN instr(x.word, 'zz') THEN lower(` + own("x.word") + `) ELSE x.word END AS word, o.id
			FROM temp.own o JOIN m.run_words x ON x.run_id = o.model ORDER BY 1, 2`,
		`INSERT OR IGNORE INTO run_words (word, run_id) SELECT substr(stack, 1, instr(stack, '-') - 1), id FROM temp.own ORDER BY 1, 2`,
		// With the sums of all months, stacks and phases, but for that of everything.
		`INSERT INTO run_counts (month, stack, phase, n)
			SELECT CASE WHEN b & 1 THEN 0 ELSE month END, CASE WHEN b & 2 THEN '' ELSE stack END, CASE WHEN b & 4 THEN '' ELSE phase END, count(*)
			FROM runs, (SELECT column1 AS b FROM (VALUES (0), (1), (2), (3), (4), (5), (6))) GROUP BY 1, 2, 3`,
		// What was done to each run is over, and so are the jobs of the newest: nothing here is to be worked on.
		`INSERT INTO jobs (id, number, kind, subject, ended, wake_at, queued_at, attempt, fence, wakes, told, owner, lease_until)
			SELECT kind || '/' || o.id, 2 * o.id + (kind = 'status'), kind, CAST(o.id AS TEXT), 1, 9223372036854775807, 0, 0, 3, 4, 0, '', 0
			FROM temp.own o, (SELECT 'run' AS kind UNION ALL SELECT 'status')`,
		`INSERT INTO deliveries (number, id, event, received_at, hint, fate, reason, runs, coding, body)
			SELECT o.id, 'delivery-' || o.id, x.event, ` + at("x.received_at") + `, x.hint, CASE o.id % 3 WHEN 0 THEN 'started' ELSE 'ignored' END, 'no event that means anything here', '[]', 'text', x.body
			FROM temp.own o, m.deliveries x WHERE o.id > (SELECT max(id) FROM temp.own) - 2000 ORDER BY o.id`,
		`UPDATE counters SET value = coalesce(CASE name
			WHEN 'delivery' THEN (SELECT max(number) FROM deliveries) WHEN 'upgrade' THEN (SELECT max(id) FROM upgrades) WHEN 'run' THEN (SELECT max(id) FROM runs)
			WHEN 'result' THEN (SELECT max(id) FROM results) WHEN 'apply' THEN (SELECT max(seq) FROM applies) WHEN 'order' THEN (SELECT max(id) FROM orders)
			WHEN 'event' THEN (SELECT max(id) FROM events) WHEN 'job' THEN (SELECT max(number) FROM jobs) ELSE value END, value)`,
	}
}
