package awssim

import (
	"encoding/base64"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// grant is a KMS grant.
type grant struct {
	id          string
	name        string
	grantee     string
	retiring    string
	issuer      string
	operations  []string
	constraints grantConstraints
	tokens      []string
	created     time.Time
	revoked     time.Time // zero while it stands
}

type grantConstraints struct {
	EncryptionContextSubset map[string]string `json:",omitempty"`
	EncryptionContextEquals map[string]string `json:",omitempty"`
}

func (a grantConstraints) equal(b grantConstraints) bool {
	return maps.Equal(a.EncryptionContextSubset, b.EncryptionContextSubset) &&
		maps.Equal(a.EncryptionContextEquals, b.EncryptionContextEquals)
}

// grantOperations are the operations that a grant can allow.
func grantOperations() []string {
	return strings.Fields("Decrypt Encrypt GenerateDataKey GenerateDataKeyWithoutPlaintext ReEncryptFrom ReEncryptTo " +
		"Sign Verify GetPublicKey CreateGrant RetireGrant DescribeKey GenerateDataKeyPair " +
		"GenerateDataKeyPairWithoutPlaintext GenerateMac VerifyMac DeriveSharedSecret")
}

type createGrantInput struct {
	GranteePrincipal, RetiringPrincipal, Name string
	Operations                                []string
	Constraints                               grantConstraints
	DryRun                                    bool
}

func (c *call) checkGrant(in createGrantInput) error {
	if in.GranteePrincipal == "" || len(in.Operations) == 0 {
		return refuse("ValidationException", "1 validation error detected: 'granteePrincipal' and 'operations' must not be null")
	}
	for _, op := range in.Operations {
		if !slices.Contains(grantOperations(), op) {
			return refuse("ValidationException",
				"1 validation error detected: Value '%v' at 'operations' failed to satisfy constraint: Member must satisfy enum value set", in.Operations)
		}
	}
	if in.Name != "" && !regexp.MustCompile(`^[a-zA-Z0-9:/_-]{1,256}$`).MatchString(in.Name) {
		return refuse("ValidationException", "1 validation error detected: Value '%.80s' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$", in.Name)
	}
	for _, name := range []string{in.GranteePrincipal, in.RetiringPrincipal} {
		if name != "" && !strings.HasSuffix(name, ":root") && !c.exists(name) {
			return refuse("InvalidArnException", "ARN does not refer to a valid principal: %s", name)
		}
	}
	return nil
}

// createGrant makes a grant. With a name, one with identical parameters is returned instead of made again:
// the API reference of CreateGrant, under Name. The token is a new one each time.
func createGrant(c *call, key *kmsKey) (any, error) {
	var in createGrantInput
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if err := c.checkGrant(in); err != nil {
		return nil, err
	}
	if in.DryRun {
		return nil, refuse("DryRunOperationException", "The request would have succeeded, but the DryRun option is set.")
	}
	token := base64.StdEncoding.EncodeToString([]byte("token " + c.hex(64)))
	operations := slices.Compact(slices.Sorted(slices.Values(in.Operations)))
	if in.Name != "" {
		same := find(key.grants, func(g *grant) bool {
			return g.revoked.IsZero() && g.name == in.Name && (c.cfg.GrantNameAlone ||
				g.grantee == in.GranteePrincipal && g.retiring == in.RetiringPrincipal &&
					slices.Equal(slices.Sorted(slices.Values(g.operations)), operations) && g.constraints.equal(in.Constraints))
		})
		if same != nil {
			same.tokens = append(same.tokens, token)
			return map[string]any{"GrantId": same.id, "GrantToken": token}, nil
		}
	}
	g := &grant{
		id: c.hex(64), name: in.Name, grantee: in.GranteePrincipal, retiring: in.RetiringPrincipal,
		issuer: "arn:aws:iam::" + c.who.Account + ":root", operations: slices.Clone(in.Operations),
		constraints: in.Constraints, tokens: []string{token}, created: c.now,
	}
	key.grants = append(key.grants, g)
	return map[string]any{"GrantId": g.id, "GrantToken": token}, nil
}

func (g *grant) describe(key *kmsKey) map[string]any {
	out := map[string]any{
		"KeyId": key.arn(), "GrantId": g.id, "GranteePrincipal": g.grantee, "IssuingAccount": g.issuer,
		"Operations": g.operations, "CreationDate": epoch(g.created), "Name": g.name,
	}
	if g.retiring != "" {
		out["RetiringPrincipal"] = g.retiring
	}
	if len(g.constraints.EncryptionContextEquals)+len(g.constraints.EncryptionContextSubset) > 0 {
		out["Constraints"] = g.constraints
	}
	return out
}

func listGrants(c *call, key *kmsKey) (any, error) {
	var in struct {
		GrantId, GranteePrincipal, Marker string //nolint:revive // the wire's own name
		Limit                             int
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if in.Limit > 100 {
		return nil, refuse("ValidationException", "1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 100", in.Limit)
	}
	var all []map[string]any
	for _, g := range key.grants {
		if g.revoked.IsZero() && (in.GrantId == "" || g.id == in.GrantId) &&
			(in.GranteePrincipal == "" || g.grantee == in.GranteePrincipal) {
			all = append(all, g.describe(key))
		}
	}
	// The real service's pages are of 50 unless asked otherwise.
	if in.Limit == 0 {
		in.Limit = 50
	}
	return c.kmsPage("Grants", all, in.Limit, in.Marker)
}

func revokeGrant(c *call, key *kmsKey) (any, error) {
	var in struct{ GrantId string } //nolint:revive // the wire's own name
	if err := c.read(&in); err != nil {
		return nil, err
	}
	g := find(key.grants, func(g *grant) bool { return g.id == in.GrantId && g.revoked.IsZero() })
	if g == nil {
		return nil, refuse("NotFoundException", "Grant ID %s not found", in.GrantId)
	}
	c.revoke(key, g)
	return nil, nil //nolint:nilnil // KMS answers nothing
}

// revoke ends a grant. It is no longer listed, but enforced until the delay is over.
func (c *call) revoke(key *kmsKey, g *grant) {
	g.revoked = c.now
	c.key, c.grantID = key, g.id
	c.at(c.now.Add(c.cfg.Timing.RevokeDelay), func(time.Time) {
		key.grants = slices.DeleteFunc(key.grants, func(x *grant) bool { return x == g })
	})
}

func retireGrant(c *call) (any, error) {
	var in struct{ GrantToken, KeyId, GrantId string } //nolint:revive // the wire's own names
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if (in.GrantToken == "") == (in.KeyId == "" || in.GrantId == "") {
		return nil, refuse("ValidationException", "Either a grant token, or a key ARN and a grant ID must be given")
	}
	for _, key := range c.keys {
		for _, g := range key.grants {
			byID := g.id == in.GrantId && (key.arn() == in.KeyId || key.id == in.KeyId)
			if !g.revoked.IsZero() || !byID && (in.GrantToken == "" || !slices.Contains(g.tokens, in.GrantToken)) {
				continue
			}
			if err := c.mayRetire(key, g); err != nil {
				return nil, err
			}
			c.revoke(key, g)
			return nil, nil //nolint:nilnil // KMS answers nothing
		}
	}
	if in.GrantToken != "" {
		return nil, refuse("InvalidGrantTokenException", "the grant token is not valid")
	}
	return nil, refuse("NotFoundException", "Grant ID %s not found", in.GrantId)
}

// mayRetire: the retiring principal may, a grantee whose grant says so, and whom IAM lets in the account that
// made the grant.
func (c *call) mayRetire(key *kmsKey, g *grant) error {
	if c.who.Principal == g.retiring || c.who.Principal == g.grantee && slices.Contains(g.operations, "RetireGrant") {
		return nil
	}
	a := access{permission(serviceKMS, c.action), key.arn(), c.keyFacts()}
	v := unsaid
	if c.who.Account == accountOf(g.issuer) {
		v = c.judge(c.who, a)
	}
	if v == allowed {
		return nil
	}
	return notAllowed(serviceKMS, a, c.who, v)
}
