package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// AuditEntry is an entry of the audit log as the API tells it.
type AuditEntry struct {
	Seq     int64               `json:"seq"`
	At      time.Time           `json:"at"`
	Who     string              `json:"who"`
	User    int64               `json:"gitlab_user_id"`
	Via     string              `json:"via"`
	From    string              `json:"from"`
	Act     upgrade.Act         `json:"act"`
	On      string              `json:"on"`
	Project string              `json:"project"`
	Stack   upgrade.StackName   `json:"stack"`
	Run     upgrade.RunID       `json:"run"`
	Why     string              `json:"why"`
	Result  upgrade.AuditResult `json:"result"`
	Detail  string              `json:"detail"`
	Prev    string              `json:"prev"`
	Hash    string              `json:"hash"`
}

// AuditEntryOf returns an entry as the API tells it.
func AuditEntryOf(e upgrade.AuditEntry) AuditEntry {
	e.At = e.At.UTC()
	return AuditEntry(e)
}

// AuditQuery chooses entries; empty fields do not restrict.
type AuditQuery struct {
	Who, Act, Stack string
	Limit           int
}

// Audit returns entries of the audit log, the newest first.
func (c *Client) Audit(ctx context.Context, q AuditQuery) ([]AuditEntry, error) {
	values := url.Values{"limit": {strconv.Itoa(q.Limit)}}
	for key, value := range map[string]string{"who": q.Who, "act": q.Act, "stack": q.Stack} {
		if value != "" {
			values.Set(key, value)
		}
	}
	var page struct{ Items []AuditEntry }
	err := c.call(ctx, http.MethodGet, "/api/v1/audit?"+values.Encode(), nil, &page)
	return page.Items, err
}

// WalkAudit gives every entry, the oldest first, and the newest one as the service keeps it.
func (c *Client) WalkAudit(ctx context.Context, see func(upgrade.AuditEntry) error) (head upgrade.AuditHead, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base.String()+"/api/v1/audit/export?format=jsonl", nil)
	if err != nil {
		return head, fmt.Errorf("ask %s: %w", c.base.Host, err)
	}
	c.sign(req)
	resp, err := c.http.Do(req)
	if err != nil {
		return head, &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: c.base.Host + " does not answer", Hint: "is the service running, and is the address right?", Cause: err}
	}
	defer func() { _ = resp.Body.Close() }() // read to its end or given up: nothing to lose
	if resp.StatusCode != http.StatusOK {
		data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		return head, errors.Join(refusal(resp, data), err)
	}
	if head, err = ReadAudit(bufio.NewReader(resp.Body), see); err != nil {
		return head, err
	}
	var check struct {
		Head string `json:"head"`
	}
	if err := c.call(ctx, http.MethodGet, "/api/v1/audit/verify", nil, &check); err != nil {
		return head, err
	}
	number, hash, _ := strings.Cut(check.Head, ":")
	// What was added between the two answers is no fault: the log may only have gone on.
	if seq, err := strconv.ParseInt(number, 10, 64); err == nil && seq == head.Seq {
		head.Hash = hash
	}
	return head, nil
}

// ReadAudit reads an export in JSON lines, and returns its last entry.
func ReadAudit(from *bufio.Reader, see func(upgrade.AuditEntry) error) (head upgrade.AuditHead, err error) {
	for n := 1; ; n++ {
		line, err := from.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			var e AuditEntry
			if err := json.Unmarshal(line, &e); err != nil {
				return head, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("line %d is not an entry of the audit log", n), Hint: "it must be what `audit export --format jsonl` wrote", Cause: err}
			}
			if err := see(upgrade.AuditEntry(e)); err != nil {
				return head, err
			}
			head = upgrade.AuditHead{Seq: e.Seq, Hash: e.Hash}
		}
		if errors.Is(err, io.EOF) {
			return head, nil
		}
		if err != nil {
			return head, &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "the audit log broke off", Cause: err}
		}
	}
}
