package awssim

import (
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// readOnly reports whether an action changes nothing. The trail leaves those out, though the real one has
// them: nobody here asks for them, and pollers make thousands.
func readOnly(action string) bool {
	for _, verb := range []string{"Describe", "Get", "List", "Lookup"} {
		if strings.HasPrefix(action, verb) {
			return true
		}
	}
	return false
}

// record writes a call into CloudTrail's book: the form of the events of KMS is that of the KMS developer
// guide, "Logging AWS KMS API calls"; those of other services have the same frame.
func (c *call) record(result any, err error) {
	if c.realm == nil || readOnly(c.action) {
		return
	}
	source := c.service + ".amazonaws.com"
	e := &trailEvent{
		id: c.uuid(), name: c.action, source: source, region: c.realm.region, accounts: []string{c.who.Account}, at: c.now,
		user: userName(c.who), accessKey: c.accessKey, resources: []trailResource{},
	}
	fields := map[string]any{
		"eventVersion": "1.08", "userIdentity": c.who.trail(c.accessKey, c.now), "eventTime": c.now.UTC().Format(time.RFC3339),
		"eventSource": source, "eventName": c.action, "awsRegion": c.realm.region, "sourceIPAddress": "127.0.0.1", "userAgent": c.agent,
		"requestParameters": c.trailRequest(), "responseElements": c.trailAnswer(result), "requestID": c.requestID, "eventID": e.id,
		"readOnly": false, "eventType": "AwsApiCall", "managementEvent": true, "recipientAccountId": c.who.Account, "eventCategory": "Management",
	}
	if refusal, ok := errors.AsType[*apiError](err); ok {
		fields["errorCode"], fields["errorMessage"] = strings.TrimSuffix(refusal.code, "Exception"), refusal.message
	}
	if c.key != nil {
		e.about(c.key)
		fields["resources"] = keyResources(c.key)
	}
	if c.action == "RetireGrant" && c.grantID != "" {
		// The request may have had a token only; the grant is told beside it.
		fields["requestParameters"], fields["additionalEventData"] = nil, map[string]any{"grantId": c.grantID}
	}
	e.document(fields)
	c.addTrail(e)
}

// about notes the key of an event; the trail of its account has the event too.
func (e *trailEvent) about(key *kmsKey) {
	e.resources = []trailResource{{"AWS::KMS::Key", key.arn()}}
	if e.accounts[0] != key.account {
		e.accounts = append(e.accounts, key.account)
	}
}

func keyResources(key *kmsKey) []map[string]any {
	return []map[string]any{{"accountId": key.account, "type": "AWS::KMS::Key", "ARN": key.arn()}}
}

// trailRequest is the request as CloudTrail writes it: names begin with a small letter.
func (c *call) trailRequest() any {
	out := map[string]any{}
	if speaksJSON(c.service) {
		var in map[string]any
		if json.Unmarshal(c.body, &in) != nil {
			return nil
		}
		for name, v := range in {
			if v != nil && name != "GrantToken" && name != "GrantTokens" {
				out[lower(name)] = lowered(v)
			}
		}
		return out
	}
	for name, v := range c.params() {
		out[lower(name)] = v
	}
	return out
}

// lowered writes the names of objects as trailRequest does, but for those that are somebody's own: the
// encryption context of a constraint.
func lowered(v any) any {
	fields, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := map[string]any{}
	for name, kid := range fields {
		out[lower(name)] = kid
	}
	return out
}

func (c *call) trailAnswer(result any) any {
	out := map[string]any{}
	if answer, ok := result.(map[string]any); ok && c.service == serviceKMS && c.action == "CreateGrant" {
		out["grantId"] = answer["GrantId"]
	}
	if c.key != nil {
		out["keyId"] = c.key.arn()
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// userName is what CloudTrail shows as the user: the name of a user, or of a role's session.
func userName(who identity) string { return who.ARN[strings.LastIndexByte(who.ARN, '/')+1:] }

// trail is who called, as CloudTrail writes it.
func (who identity) trail(accessKey string, now time.Time) map[string]any {
	out := map[string]any{"type": "IAMUser", "principalId": who.UserID, "arn": who.ARN, "accountId": who.Account, "accessKeyId": accessKey}
	if who.Principal == who.ARN {
		out["userName"] = userName(who)
		return out
	}
	id, _, _ := strings.Cut(who.UserID, ":")
	out["type"] = "AssumedRole"
	out["sessionContext"] = map[string]any{
		"sessionIssuer": map[string]any{
			"type": "Role", "principalId": id, "arn": who.Principal, "accountId": who.Account,
			"userName": who.Principal[strings.LastIndexByte(who.Principal, '/')+1:],
		},
		"attributes": map[string]any{"creationDate": now.UTC().Format(time.RFC3339), "mfaAuthenticated": "false"},
	}
	return out
}

// recordRefused writes down that a launch was refused the use of a key: the one place where AWS says who
// lacked what.
func (w *world) recordRefused(r *realm, key *kmsKey, who identity, operation string, now time.Time) {
	if isServiceLinked(who.Principal) {
		name := who.Principal[strings.LastIndexByte(who.Principal, '/')+1:]
		who.ARN = "arn:aws:sts::" + who.Account + ":assumed-role/" + name + "/AutoScaling"
		who.UserID = "AROA" + short(who.Principal) + ":AutoScaling"
	}
	if strings.HasPrefix(operation, "ReEncrypt") {
		operation = "ReEncrypt"
	}
	e := &trailEvent{
		id: w.uuid(), name: operation, source: "kms.amazonaws.com", region: r.region, accounts: []string{r.account}, at: now, user: userName(who),
	}
	e.about(key)
	caller := who.trail("", now)
	delete(caller, "accessKeyId")
	caller["invokedBy"] = "autoscaling.amazonaws.com"
	e.document(map[string]any{
		"eventVersion": "1.08", "userIdentity": caller, "eventTime": now.UTC().Format(time.RFC3339), "eventSource": e.source, "eventName": operation,
		"awsRegion": r.region, "sourceIPAddress": "autoscaling.amazonaws.com", "userAgent": "autoscaling.amazonaws.com",
		"errorCode": "AccessDenied", "errorMessage": "User: " + who.ARN + " is not authorized to perform: kms:" + operation + " on resource: " + key.arn() +
			" because no resource-based policy allows the kms:" + operation + " action",
		"requestParameters": nil, "responseElements": nil, "requestID": w.uuid(), "eventID": e.id, "readOnly": true, "resources": keyResources(key),
		"eventType": "AwsApiCall", "managementEvent": true, "recipientAccountId": r.account, "eventCategory": "Management",
	})
	w.addTrail(e)
}
