package server

import (
	"encoding/json"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// The shapes of the API. Times are RFC 3339 in UTC, durations seconds; what is not known is left out.

type wireRun struct {
	ID          upgrade.RunID       `json:"id"`
	Upgrade     upgrade.UpgradeID   `json:"upgrade"`
	Stack       upgrade.StackName   `json:"stack"`
	Environment upgrade.EnvName     `json:"environment"`
	ProjectID   int64               `json:"project_id"`
	Project     string              `json:"project"`
	Tree        upgrade.Tree        `json:"tree"`
	Commit      upgrade.Commit      `json:"commit"`
	Version     string              `json:"version"`
	Base        string              `json:"base,omitempty"`
	Title       string              `json:"title,omitempty"`
	Author      string              `json:"author,omitempty"`
	Attempt     int                 `json:"attempt"`
	Answers     []wireAnswer        `json:"answers"`
	Phase       upgrade.Phase       `json:"phase"`
	Since       time.Time           `json:"since,omitzero"`
	From        upgrade.Phase       `json:"from,omitempty"`
	Reason      string              `json:"reason,omitempty"`
	Deadline    time.Time           `json:"deadline,omitzero"`
	Verdict     upgrade.Verdict     `json:"verdict"`
	Causes      []wireCause         `json:"causes"`
	Seen        string              `json:"causes_digest"` // of causes: who overrides says with it what they saw
	Warnings    []string            `json:"warnings"`
	Half        upgrade.Half        `json:"half,omitempty"` // of a rehearsal
	Agreed      []wireAgreement     `json:"agreed"`
	Override    *wireOverride       `json:"override,omitempty"`
	Told        wireTelling         `json:"told"`
	Gates       wireTally           `json:"gates"`
	Progress    wireProgress        `json:"progress"`
	Plan        wirePlan            `json:"plan"`
	Round       int                 `json:"round"`
	Applies     int                 `json:"applies"`
	ChangedAt   time.Time           `json:"changed_at,omitzero"`
	StoppedBy   string              `json:"stopped_by,omitempty"`
	PromotedAt  time.Time           `json:"promoted_at,omitzero"`
	Production  wireProduction      `json:"production"`
	CreatedAt   time.Time           `json:"created_at,omitzero"`
	Rev         int64               `json:"rev"`
	URL         string              `json:"url"` // of the run's page
	Status      upgrade.CommitState `json:"status"`
}

type wireAnswer struct {
	Ref          string         `json:"ref"`
	Commit       upgrade.Commit `json:"commit"`
	MergeRequest int64          `json:"merge_request,omitempty"`
	At           time.Time      `json:"at,omitzero"`
}

type wireCause struct {
	Kind    upgrade.CauseKind `json:"kind"`
	Gate    upgrade.GateName  `json:"gate,omitempty"`
	Run     upgrade.RunID     `json:"run,omitempty"`   // the earlier run of the open change that it comes from
	Stack   upgrade.StackName `json:"stack,omitempty"` // the other stack that it is about
	Message string            `json:"message"`
	Hint    string            `json:"hint,omitempty"`
}

type wireAgreement struct {
	Digest string    `json:"change_digest"`
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at,omitzero"`
}

type wireOverride struct {
	Causes  []wireCause `json:"causes"` // that it overrides
	Reason  string      `json:"reason"`
	By      []string    `json:"by"` // it counts from two on
	AskedAt time.Time   `json:"asked_at,omitzero"`
	GivenAt time.Time   `json:"given_at,omitzero"`
	Until   time.Time   `json:"until,omitzero"`
	Counts  bool        `json:"counts"` // now
}

// wireTelling is what people read of the run, word for word as pages have it.
type wireTelling struct {
	Key      upgrade.Key  `json:"key"`
	Chip     string       `json:"chip"`
	Tone     upgrade.Tone `json:"tone"`
	Headline string       `json:"headline"`
	Next     string       `json:"next"`
	Live     string       `json:"live,omitempty"`
}

type wireTally struct {
	All     int `json:"all"`
	Passed  int `json:"passed"`
	Failed  int `json:"failed"`
	Unknown int `json:"unknown"`
	Skipped int `json:"skipped"`
}

type wireProgress struct {
	Done   int    `json:"done"`
	Total  int    `json:"total"`
	Failed string `json:"failed,omitempty"`
}

type wirePlan struct {
	Create       int    `json:"create"`
	Update       int    `json:"update"`
	Replace      int    `json:"replace"`
	Destroy      int    `json:"destroy"`
	Forget       int    `json:"forget"`
	FileDigest   string `json:"file_digest,omitempty"`
	ChangeDigest string `json:"change_digest,omitempty"`
	LockDigest   string `json:"lock_digest,omitempty"`
	Tool         string `json:"tool,omitempty"`
}

type wireProduction struct {
	Started bool   `json:"started"`
	Failed  bool   `json:"failed"`
	JobURL  string `json:"job_url,omitempty"`
}

type wireEvent struct {
	ID   int64             `json:"id"`
	Seq  int64             `json:"seq"`
	At   time.Time         `json:"at,omitzero"`
	Kind upgrade.EventKind `json:"kind"`
	Who  string            `json:"who,omitempty"`
	Text string            `json:"text"`
	Data map[string]string `json:"data,omitempty"`
}

type wireResult struct {
	Gate        upgrade.GateName `json:"gate"`
	Kind        string           `json:"kind"`
	Stage       upgrade.Stage    `json:"stage"`
	Environment upgrade.EnvName  `json:"environment"`
	Round       int              `json:"round"`
	Apply       int              `json:"apply,omitempty"` // plan, before, during: the run's apply that it is about, from 1
	WayBack     bool             `json:"way_back"`        // of a rehearsal's way back to the base: kept, not counted
	Required    bool             `json:"required"`
	Agreeable   bool             `json:"agreeable"` // a release manager may agree to what it says no to
	Early       bool             `json:"early"`
	Outcome     upgrade.Outcome  `json:"outcome"`
	Expired     bool             `json:"expired"` // older than its limit: counts as not passed
	Message     string           `json:"message"`
	Warnings    []string         `json:"warnings,omitempty"`
	StartedAt   time.Time        `json:"started_at,omitzero"`
	Took        float64          `json:"took_seconds"`
	GoodFor     float64          `json:"good_for_seconds,omitempty"`
	Evidence    wireEvidence     `json:"evidence"`
}

type wireEvidence struct {
	Facts  []wireFact  `json:"facts,omitempty"`
	Tables []wireTable `json:"tables,omitempty"`
	Quotes []wireQuote `json:"quotes,omitempty"`
	Spans  []wireSpan  `json:"spans,omitempty"`
	Steps  []wireMark  `json:"steps,omitempty"` // of Terraform's meanwhile
	About  []string    `json:"about,omitempty"` // what a no comes of: addresses of Terraform's resources, ARNs of keys
	Watch  *wireWatch  `json:"watch,omitempty"` // single probes are had as CSV
	Log    []wireLine  `json:"log,omitempty"`
}

type wireFact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type wireTable struct {
	Title   string     `json:"title"`
	Columns []string   `json:"columns"`
	Rows    [][]string `json:"rows"`
}

type wireQuote struct {
	Source string    `json:"source"`
	Text   string    `json:"text"`
	At     time.Time `json:"at,omitzero"`
}

type wireSpan struct {
	Name   string    `json:"name"`
	From   time.Time `json:"from,omitzero"`
	To     time.Time `json:"to,omitzero"`
	Failed bool      `json:"failed"`
}

type wireLine struct {
	At   time.Time `json:"at,omitzero"`
	Text string    `json:"text"`
}

type wireDelivery struct {
	Number     int64              `json:"number"`
	ID         upgrade.DeliveryID `json:"id"`
	Event      string             `json:"event"`
	Kind       upgrade.HintKind   `json:"kind"`
	ReceivedAt time.Time          `json:"received_at,omitzero"`
	ProjectID  int64              `json:"project_id,omitempty"`
	Project    string             `json:"project,omitempty"`
	About      string             `json:"about,omitempty"`
	Fate       upgrade.Fate       `json:"fate"`
	Reason     string             `json:"reason,omitempty"`
	Runs       []upgrade.RunID    `json:"runs"`
	Body       json.RawMessage    `json:"body,omitempty"` // of one delivery alone, for those who may act; of a refused one none is kept
}
