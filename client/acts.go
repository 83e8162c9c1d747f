package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Act is something that a person does with a run. Which of the fields it needs depends on its name.
type Act struct {
	Name   string // in the API: stop, recheck, retry, rehearse, relock, approve, refuse, resolve, override
	Reason string
	Digest string    // of what was seen: the plan's ChangeDigest to approve or refuse, CausesDigest to override
	Until  time.Time // when an override ends; zero: after a day
}

// Asked is what came of an Act: the run's own job takes it from here. Another attempt is a run of its own,
// and what came of asking for it is found at the delivery.
type Asked struct {
	Delivery upgrade.DeliveryID `json:"delivery"`
	Raw      json.RawMessage    `json:"-"`
}

// Do does something with a run. CodeForbidden for who may not, CodeConflict where the run does not allow
// it, CodeInvalid if something is missing, CodeNotFound for a run that does not exist.
func (c *Client) Do(ctx context.Context, run upgrade.RunID, a Act) (Asked, error) {
	fields := map[string]any{"reason": a.Reason}
	if a.Digest != "" {
		fields["digest"] = a.Digest
	}
	if !a.Until.IsZero() {
		fields["until"] = a.Until.UTC()
	}
	body, err := json.Marshal(fields)
	if err != nil {
		return Asked{}, fmt.Errorf("encode: %w", err)
	}
	var raw json.RawMessage
	if err := c.call(ctx, http.MethodPost, fmt.Sprintf("/api/v1/runs/%d/%s", run, url.PathEscape(a.Name)), body, &raw); err != nil {
		return Asked{}, err
	}
	asked := Asked{Raw: raw}
	if err := json.Unmarshal(raw, &asked); err != nil {
		return Asked{}, fmt.Errorf("decode what was asked: %w", err)
	}
	return asked, nil
}

// Stack is a configured stack with what is known of it; Raw is the whole answer.
type Stack struct {
	Name    upgrade.StackName `json:"name"`
	Project string            `json:"project"`
	Base    *struct {
		Commit  upgrade.Commit `json:"commit"`
		Assumed bool           `json:"assumed"`
		By      string         `json:"by"`
		At      time.Time      `json:"at"`
	} `json:"base"` // nil: nobody knows what production has
	OpenChange []struct {
		Run upgrade.RunID `json:"run"`
	} `json:"open_change"`
	Holder   *Running        `json:"holder"` // nil: the stack is free
	OnTheWay []Running       `json:"on_the_way"`
	Queued   []Running       `json:"queued"`
	Raw      json.RawMessage `json:"-"`
}

// Running is a run that uses its stack or waits for it.
type Running struct {
	Run   upgrade.RunID `json:"run"`
	Phase upgrade.Phase `json:"phase"`
}

// Stacks returns the configured stacks, in the order of the file.
func (c *Client) Stacks(ctx context.Context) ([]Stack, error) {
	var page struct{ Items []json.RawMessage }
	if err := c.call(ctx, http.MethodGet, "/api/v1/stacks", nil, &page); err != nil {
		return nil, err
	}
	stacks := make([]Stack, 0, len(page.Items))
	for _, raw := range page.Items {
		stack, err := decodeStack(raw)
		if err != nil {
			return nil, err
		}
		stacks = append(stacks, stack)
	}
	return stacks, nil
}

// fetchPatience is how long an answer may take for which the service has to fetch a commit.
const fetchPatience = 40 * time.Second

// SetBase says which commit production of a stack has, and returns the stack as it is then. CodeForbidden,
// CodeInvalid without a reason, CodeNotFound, CodeStale if somebody else set it meanwhile.
func (c *Client) SetBase(ctx context.Context, stack upgrade.StackName, commit upgrade.Commit, reason string) (Stack, error) {
	body, err := json.Marshal(map[string]string{"commit": string(commit), "reason": reason})
	if err != nil {
		return Stack{}, fmt.Errorf("encode: %w", err)
	}
	var raw json.RawMessage
	limit := max(c.timeout, fetchPatience)
	if err := c.callWithin(ctx, limit, http.MethodPost, "/api/v1/stacks/"+url.PathEscape(string(stack))+"/base", body, &raw); err != nil {
		return Stack{}, err
	}
	return decodeStack(raw)
}

func decodeStack(raw json.RawMessage) (Stack, error) {
	stack := Stack{Raw: raw}
	if err := json.Unmarshal(raw, &stack); err != nil {
		return Stack{}, fmt.Errorf("decode a stack: %w", err)
	}
	return stack, nil
}
