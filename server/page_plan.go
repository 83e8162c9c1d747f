package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// Bounds of a plan on a page; the API has all of it.
const (
	planPageSize   = 100       // resources on a page
	planAttributes = 8         // of one resource
	planValue      = 80        // characters of a value
	planBytes      = 20 * 1024 // bytes of attributes on a page
)

// wholePlan is what a plan changes, masked, the riskiest first.
type wholePlan struct {
	Path, Number, Stack, Version string
	Headline                     string
	Counts                       []countView
	Groups                       []resourceGroup
	From, To, All                int // which resources this page has, counted from 1
	Before, After                string
	Moves                        []string
	Outputs                      []string
	Drifted                      []string
	Facts                        []factView
	JSON, Log                    string
	Empty                        string
}

type resourceGroup struct {
	Sign, Title, Tone string
	Rows              []resourceRow
}

type resourceRow struct {
	Address, Kind, Beside string
	Broke                 []link // gates that saw it break something
	Diff                  string // a line for each attribute
	Open                  bool
}

func (s *Server) planPage(c *gin.Context) error {
	q := newQuery(c, "from")
	from := int(q.integer("from", 0, 1_000_000))
	if q.err != nil {
		return q.err
	}
	run, err := s.run(c)
	if err != nil {
		return err
	}
	page := wholePlan{
		Path: runPath(run.ID), Number: run.ID.String(), Stack: string(run.Stack), Version: run.Version, JSON: fmt.Sprintf("/api/v1/runs/%d/plan", run.ID), Log: runPath(run.ID) + "/log/plan",
	}
	summary, err := s.plans.Plan(c.Request.Context(), run.ID)
	switch {
	case upgrade.CodeOf(err) == upgrade.CodeNotFound:
		page.Headline, page.Empty = fmt.Sprintf("Run %d has no plan.", run.ID), "It has not been planned yet, its plan failed, or what it left was removed after the time for which plans are kept."
	case err != nil:
		return fmt.Errorf("read the plan of run %d: %w", run.ID, err)
	default:
		all, err := s.evidence.Results(c.Request.Context(), run.ID)
		if err != nil {
			return fmt.Errorf("read results of run %d: %w", run.ID, err)
		}
		page.fill(run, summary, all, from)
	}
	return s.show(c, http.StatusOK, "plan", s.layout(c, fmt.Sprintf("Plan of run %d", run.ID), page))
}

// fill describes the plan from a resource on.
func (v *wholePlan) fill(run upgrade.Run, summary plan.Summary, results []upgrade.Result, from int) {
	changes := slices.Clone(summary.Changes)
	rank := func(c plan.Change) int { return slices.Index(changeOrder(), string(c.Action)) }
	slices.SortStableFunc(changes, func(a, b plan.Change) int { return rank(a) - rank(b) })
	counts := map[plan.Action]int{}
	for _, c := range changes {
		counts[c.Action]++
	}
	verb := "would change"
	if run.Applies > 0 {
		verb = "changed"
	}
	v.All = len(changes)
	v.Headline = fmt.Sprintf("This plan %s %s in %s.", verb, plural(v.All, "resource"), run.Environment)
	if v.All == 0 {
		v.Headline, v.Empty = fmt.Sprintf("This plan changes nothing in %s.", run.Environment), "What is there is what is wanted."
	}
	for _, action := range changeOrder() {
		sign, _, tone := changeWords(action)
		if n := counts[plan.Action(action)]; n > 0 {
			v.Counts = append(v.Counts, countView{sign, doneWord(action), n, tone})
		}
	}
	from = min(from, max(0, v.All-1))
	shown := changes[from:min(from+planPageSize, v.All)]
	v.From, v.To = from+1, from+len(shown)
	if from > 0 {
		v.Before = fmt.Sprintf("%s/plan?from=%d", v.Path, max(0, from-planPageSize))
	}
	if v.To < v.All {
		v.After = fmt.Sprintf("%s/plan?from=%d", v.Path, v.To)
	}
	v.groups(shown, results, run)
	for _, m := range summary.Moves {
		v.Moves = append(v.Moves, m.From+" → "+m.To)
	}
	for _, o := range summary.Outputs {
		v.Outputs = append(v.Outputs, o.Name+": "+strings.Join(o.Actions, ", "))
	}
	v.Drifted = summary.Drifted
	add := func(name, value string) {
		if value != "" {
			v.Facts = append(v.Facts, factView{Name: name, Value: value, Mono: name != "Made by"})
		}
	}
	add("Made by", run.Plan.Tool)
	add("Change", run.Plan.ChangeDigest)
	add("Plan file", run.Plan.FileDigest)
	add("Provider lock", run.Plan.LockDigest)
}

func (v *wholePlan) groups(shown []plan.Change, results []upgrade.Result, run upgrade.Run) {
	room := planBytes
	against := noesOf(runData{run: run, results: wayBackOf(run, nil).newest(results)})
	for _, c := range shown {
		sign, title, tone := changeWords(string(c.Action))
		if n := len(v.Groups); n == 0 || v.Groups[n-1].Title != title {
			v.Groups = append(v.Groups, resourceGroup{Sign: sign, Title: title, Tone: tone})
		}
		row := resourceRow{Address: c.Address, Kind: typeTitle(c.Type), Beside: besideChange(c), Broke: against.links(c.Address, runPath(run.ID))}
		row.Diff = attributes(c, room)
		room -= len(row.Diff)
		row.Open = tone == "bad" && row.Diff != "" && len(shown) <= 20
		g := &v.Groups[len(v.Groups)-1]
		g.Rows = append(g.Rows, row)
	}
}

// typeTitle is a type of resource in words: "KMS grant" of aws_kms_grant.
func typeTitle(t string) string {
	_, rest, ok := strings.Cut(t, "_")
	if !ok {
		return t
	}
	words := strings.Split(rest, "_")
	for i, w := range words {
		switch w {
		case "kms", "iam", "lb", "vpc", "ebs", "ecs", "rds", "db", "dns", "acl", "ssm", "sns", "sqs", "ip", "ami", "nat", "ec2":
			words[i] = strings.ToUpper(w)
		}
	}
	return upperFirst(strings.Join(words, " "))
}

func besideChange(c plan.Change) string {
	var said []string
	if c.PreviousAddress != "" {
		said = append(said, "was "+c.PreviousAddress)
	}
	if c.Deposed != "" {
		said = append(said, "an old object, deposed as "+c.Deposed)
	}
	if c.Action == plan.Replace && c.CreateFirst {
		said = append(said, "the new one first")
	} else if c.Action == plan.Replace {
		said = append(said, "the old one is destroyed first")
	}
	if c.Reason != "" {
		said = append(said, strings.ReplaceAll(c.Reason, "_", " "))
	}
	return strings.Join(said, "; ")
}

// attributes lists what changes of a resource, a line for each, in at most so many bytes.
func attributes(c plan.Change, room int) string {
	before, after, unknown := attributesOf(c.Before), attributesOf(c.After), attributesOf(c.AfterUnknown)
	names := map[string]bool{}
	for _, m := range []map[string]json.RawMessage{before, after, unknown} {
		for name := range m {
			names[name] = true
		}
	}
	forces := string(c.ReplacePaths)
	var b strings.Builder
	lines, left := 0, 0
	for _, name := range slices.Sorted(maps.Keys(names)) {
		old, now := before[name], after[name]
		to := oneLine(now)
		if u := unknown[name]; len(u) > 0 && string(u) != "false" && string(u) != "{}" && string(u) != "[]" && now == nil {
			to = "(known after apply)"
		}
		var line string
		switch {
		case bytes.Equal(old, now) && to == oneLine(old):
			continue
		case c.Action == plan.Delete || c.Action == plan.Forget:
			line = fmt.Sprintf("− %s: %s", name, oneLine(old))
		case old == nil || string(old) == "null":
			if to == "null" || to == "" {
				continue
			}
			line = fmt.Sprintf("+ %s: %s", name, to)
		default:
			line = fmt.Sprintf("~ %s: %s → %s", name, oneLine(old), to)
		}
		if strings.Contains(forces, `"`+name+`"`) {
			line += "  (forces the replacement)"
		}
		if lines == planAttributes || b.Len()+len(line) > room {
			left++
			continue
		}
		lines++
		b.WriteString(line + "\n")
	}
	if left > 0 {
		fmt.Fprintf(&b, "%d more; the API has them all\n", left)
	}
	return strings.TrimRight(b.String(), "\n")
}

func attributesOf(raw json.RawMessage) map[string]json.RawMessage {
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		return nil // null, or a whole value that is hidden
	}
	return m
}

// oneLine is a value as people read it: text in quotes, "(sensitive)" without.
func oneLine(raw json.RawMessage) string {
	if len(raw) == 0 {
		return "null"
	}
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return "?"
	}
	text := b.String()
	if text == `"(sensitive)"` {
		return "(sensitive)"
	}
	if utf8.RuneCountInString(text) > planValue {
		text = string([]rune(text)[:planValue-1]) + "…"
	}
	return text
}
