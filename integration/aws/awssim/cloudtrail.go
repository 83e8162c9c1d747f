package awssim

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// trailEvent is a call as CloudTrail tells of it.
type trailEvent struct {
	id, name, source string
	region           string
	accounts         []string // in whose trail it is: the caller's, and that of a key of another account
	at, seen         time.Time
	user, accessKey  string
	resources        []trailResource
	text             string // CloudTrailEvent: a JSON document
}

type trailResource struct{ ResourceType, ResourceName string }

// maxTrail bounds the trail; the oldest go first. The real one keeps 90 days.
const maxTrail = 20_000

func (w *world) addTrail(e *trailEvent) {
	e.seen = e.at.Add(w.cfg.Timing.Trail)
	w.trail = append(w.trail, e)
	if len(w.trail) > maxTrail {
		w.trail = slices.Delete(w.trail, 0, maxTrail/10)
	}
}

// lookups counts the questions of one second.
type lookups struct {
	second int64
	asked  int
}

func trailActions() map[string]action { return map[string]action{"LookupEvents": lookupEvents} }

type lookupInput struct {
	LookupAttributes []struct{ AttributeKey, AttributeValue string }

	StartTime, EndTime *float64
	EventCategory      string
	MaxResults         int
	NextToken          string
}

// check refuses what CloudTrail refuses.
func (in lookupInput) check() error {
	switch {
	case len(in.LookupAttributes) > 1:
		return refuse("InvalidLookupAttributesException", "Only one lookup attribute may be specified.")
	case in.MaxResults < 0 || in.MaxResults > 50:
		return refuse("InvalidMaxResultsException", "The maximum number of results must be between 1 and 50.")
	case in.EventCategory != "":
		return refuse("InvalidEventCategoryException", "the simulator has no event category %.20s", in.EventCategory)
	case in.StartTime != nil && in.EndTime != nil && *in.StartTime > *in.EndTime:
		return refuse("InvalidTimeRangeException", "The start time must be before the end time.")
	}
	for _, a := range in.LookupAttributes {
		if !slices.Contains(strings.Fields("EventId EventName ReadOnly Username ResourceType ResourceName EventSource AccessKeyId"), a.AttributeKey) ||
			a.AttributeValue == "" {
			return refuse("InvalidLookupAttributesException", "The lookup attribute %.80s is not valid.", a.AttributeKey)
		}
	}
	return nil
}

// within reports whether an event is of the times that are asked for, which are whole seconds as the
// event's own.
func (in lookupInput) within(at time.Time) bool {
	second := float64(at.Unix())
	return (in.StartTime == nil || second >= float64(int64(*in.StartTime))) && (in.EndTime == nil || second <= *in.EndTime)
}

// lookupEvents lists calls, newest first. Those of the last minutes are not known yet.
func lookupEvents(c *call) (any, error) {
	var in lookupInput
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	if err := c.lookupLimit(); err != nil {
		return nil, err
	}
	all := []map[string]any{}
	for _, e := range slices.Backward(c.trail) {
		switch {
		case e.region != c.realm.region || !slices.Contains(e.accounts, c.who.Account):
		case c.now.Before(e.seen) || !in.within(e.at):
		case len(in.LookupAttributes) > 0 && !slices.Contains(e.values(in.LookupAttributes[0].AttributeKey), in.LookupAttributes[0].AttributeValue):
		default:
			all = append(all, map[string]any{
				"EventId": e.id, "EventName": e.name, "ReadOnly": "false", "EventTime": float64(e.at.Unix()), "EventSource": e.source,
				"Username": e.user, "Resources": e.resources, "CloudTrailEvent": e.text, "AccessKeyId": e.accessKey,
			})
		}
	}
	page, next, ok := cut(all, in.NextToken, c.smaller(in.MaxResults, 50))
	if !ok {
		return nil, refuse("InvalidNextTokenException", "The token is not valid.")
	}
	out := map[string]any{"Events": page}
	if next != "" {
		out["NextToken"] = next
	}
	return out, nil
}

func (c *call) lookupLimit() error {
	if c.cfg.LookupLimit == 0 {
		return nil
	}
	if c.lookups == nil {
		c.lookups = map[string]lookups{}
	}
	now := c.lookups[c.who.Account]
	if second := c.signed.Unix(); now.second != second {
		now = lookups{second: second}
	}
	now.asked++
	c.lookups[c.who.Account] = now
	if now.asked > c.cfg.LookupLimit {
		return throttled(serviceCT)
	}
	return nil
}

// values are what an event has under a lookup attribute.
func (e *trailEvent) values(attribute string) []string {
	var out []string
	switch attribute {
	case "EventId":
		return []string{e.id}
	case "EventName":
		return []string{e.name}
	case "ReadOnly":
		return []string{"false"}
	case "Username":
		return []string{e.user}
	case "EventSource":
		return []string{e.source}
	case "AccessKeyId":
		return []string{e.accessKey}
	case "ResourceType":
		for _, r := range e.resources {
			out = append(out, r.ResourceType)
		}
	case "ResourceName":
		for _, r := range e.resources {
			out = append(out, r.ResourceName)
		}
	}
	return out
}

// document prints the CloudTrailEvent.
func (e *trailEvent) document(fields map[string]any) {
	raw, err := json.Marshal(fields)
	if err != nil {
		raw = []byte("{}") // of plain values only
	}
	e.text = string(raw)
}
