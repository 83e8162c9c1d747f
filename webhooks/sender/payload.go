package sender

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// PayloadVersion is the version of what is sent. It grows when a field is removed or changes its meaning; fields
// may be added without.
const PayloadVersion = 1

// Payload is the body of a delivery. That of one event is the same each time it is sent.
type Payload struct {
	Type      string    `json:"type"` // as upgrade.HookTypes has them, or hook.test
	Timestamp time.Time `json:"timestamp"`
	Version   int       `json:"version"`
	Data      Data      `json:"data"`
}

// Data is what happened.
type Data struct {
	Event  int64             `json:"event,omitempty"` // number over all journals; grows
	Seq    int64             `json:"seq,omitempty"`   // number in the run's journal, from 1
	Run    *Run              `json:"run,omitempty"`   // absent in a test
	Who    string            `json:"who,omitempty"`   // a person, or "by rule"
	Text   string            `json:"text"`            // one sentence
	Detail map[string]string `json:"detail,omitempty"`
}

// Run is what of a run never changes.
type Run struct {
	ID          upgrade.RunID     `json:"id"`
	Upgrade     upgrade.UpgradeID `json:"upgrade"`
	Attempt     int               `json:"attempt"`
	Stack       upgrade.StackName `json:"stack"`
	Environment upgrade.EnvName   `json:"environment"`
	ProjectID   int64             `json:"project_id"`
	Project     string            `json:"project"`
	Commit      upgrade.Commit    `json:"commit"`
	Tree        upgrade.Tree      `json:"tree"`
	URL         string            `json:"url"` // of its page
}

// messageID is the webhook-id of an event: the same for every try.
func messageID(hook upgrade.HookName, event int64) string {
	return fmt.Sprintf("evt_%d_%s", event, hook)
}

func (r *Room) payloadOf(run upgrade.Run, e upgrade.Event) ([]byte, error) {
	return write(Payload{
		Type: upgrade.HookType(e), Timestamp: e.At.UTC(), Version: PayloadVersion,
		Data: Data{
			Event: e.ID, Seq: e.Seq, Who: e.Who, Text: r.mask(e.Text), Detail: r.maskAll(e.Data),
			Run: &Run{
				ID: run.ID, Upgrade: run.Upgrade, Attempt: run.Attempt, Stack: run.Stack, Environment: run.Environment, ProjectID: run.ProjectID,
				Project: run.Project, Commit: run.Commit, Tree: run.Tree, URL: strings.TrimRight(r.publicURL, "/") + "/runs/" + strconv.FormatInt(int64(run.ID), 10),
			},
		},
	})
}

func (r *Room) maskAll(data map[string]string) map[string]string {
	if len(data) == 0 {
		return nil
	}
	masked := make(map[string]string, len(data))
	for k, v := range data {
		masked[k] = r.mask(v)
	}
	return masked
}

func write(p Payload) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(p); err != nil {
		return nil, fmt.Errorf("encode a payload: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
