package aws

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	trailtypes "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/upgradegate/upgradegate/integration/aws/trail"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

const (
	// CloudTrail answers two lookups a second, in an account and region, to everybody together.
	lookupPause = 600 * time.Millisecond
	lookupPages = 5 // of 50 events each, per operation
)

// KeyEvents returns what CloudTrail knows was done since then to grants, policies and states of keys,
// oldest first, whoever did it; calls that were refused are left out. It knows of a call up to 15 minutes
// late, keeps it for 90 days, and of each operation the 250 latest are read: that may cut off CreateGrant
// and RetireGrant, which AWS itself makes with each volume. It asks once per operation and page, with
// pauses: some seconds in all. Permission: cloudtrail:LookupEvents.
func (c *Client) KeyEvents(ctx context.Context, since time.Time) ([]cloud.KeyEvent, error) {
	found := map[string]cloud.KeyEvent{}
	asked := false
	for _, name := range trail.Names() {
		read := 0
		err := eachPage(func(next *string) (string, error) {
			if asked {
				if err := c.cfg.Clock.Sleep(ctx, lookupPause); err != nil {
					return "", fmt.Errorf("wait for CloudTrail: %w", err)
				}
			}
			asked = true
			page, err := c.lookUp(ctx, name, since, next)
			if err != nil {
				return "", err
			}
			for _, e := range page.Events {
				c.collect(ctx, e, since, found)
			}
			read++
			if read == lookupPages && awssdk.ToString(page.NextToken) != "" {
				c.cfg.Log.WarnContext(ctx, "older cloudtrail events were not read", "event", name, "since", since)
				return "", nil
			}
			return awssdk.ToString(page.NextToken), nil
		})
		if err != nil {
			return nil, err
		}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b cloud.KeyEvent) int {
		return cmp.Or(a.At.Compare(b.At), strings.Compare(a.ID, b.ID))
	}), nil
}

// lookUp asks for one page of one operation's events. By operation, not by service: CloudTrail takes one
// condition, and Decrypt alone would fill the pages.
func (c *Client) lookUp(ctx context.Context, name string, since time.Time, next *string) (*cloudtrail.LookupEventsOutput, error) {
	in := &cloudtrail.LookupEventsInput{
		LookupAttributes: []trailtypes.LookupAttribute{{AttributeKey: trailtypes.LookupAttributeKeyEventName, AttributeValue: awssdk.String(name)}},
		MaxResults:       awssdk.Int32(50), NextToken: next,
	}
	if !since.IsZero() {
		in.StartTime = awssdk.Time(since)
	}
	var page *cloudtrail.LookupEventsOutput
	err := c.ask(ctx, "look up "+name+" in CloudTrail", func(ctx context.Context) (err error) {
		page, err = c.trail.lookup(ctx, in)
		return err
	})
	return page, err
}

// collect keeps an event that counts. One record that cannot be read does not hide the others.
func (c *Client) collect(ctx context.Context, e trailtypes.Event, since time.Time, found map[string]cloud.KeyEvent) {
	one, ok, err := trail.Parse(awssdk.ToString(e.CloudTrailEvent))
	if err != nil {
		c.cfg.Log.WarnContext(ctx, "cloudtrail event not understood", "event_id", awssdk.ToString(e.EventId), "err", err)
		return
	}
	// CloudTrail counts in whole seconds: so must the limit.
	if !ok || one.At.Before(since.Truncate(time.Second)) {
		return
	}
	if one.ID == "" {
		one.ID = awssdk.ToString(e.EventId)
	}
	found[one.ID] = one
}
