package aws

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// Key returns a KMS key by its id, its ARN, the name of an alias ("alias/…") or the ARN of one. A key or
// an alias of another account needs the ARN. Error: CodeNotFound. Permission: kms:DescribeKey on the key,
// which its policy must allow too.
func (c *Client) Key(ctx context.Context, id string) (cloud.Key, error) {
	var out cloud.Key
	err := c.ask(ctx, "read key "+id, func(ctx context.Context) error {
		answer, err := c.kms.key(ctx, &kms.DescribeKeyInput{KeyId: awssdk.String(id)})
		if err != nil {
			return c.noKey(err, id)
		}
		if answer.KeyMetadata == nil {
			return c.noKey(nil, id)
		}
		out = toKey(*answer.KeyMetadata)
		return nil
	})
	return out, err
}

// noKey says of which key it was that AWS does not know it.
func (c *Client) noKey(err error, id string) error {
	if err != nil && !isCode(err, upgrade.CodeNotFound) {
		return err
	}
	return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("there is no KMS key %s in %s", id, c.cfg.Region), Cause: err}
}

func toKey(m kmstypes.KeyMetadata) cloud.Key {
	return cloud.Key{
		ID: awssdk.ToString(m.KeyId), ARN: awssdk.ToString(m.Arn), Account: awssdk.ToString(m.AWSAccountId),
		Description: awssdk.ToString(m.Description), State: string(m.KeyState), Customer: m.KeyManager == kmstypes.KeyManagerTypeCustomer,
		DeletionAt: awssdk.ToTime(m.DeletionDate),
	}
}

// Grants returns all grants on a key, given by its ARN. One that was made or revoked a moment ago is listed
// or not accordingly; how long KMS goes on as before is another matter, usually less than five minutes.
// Error: CodeNotFound. Permission: kms:ListGrants on the key, which its policy must allow too.
func (c *Client) Grants(ctx context.Context, keyARN string) ([]cloud.Grant, error) {
	var out []cloud.Grant
	err := c.ask(ctx, "list the grants on "+keyARN, func(ctx context.Context) error {
		return eachPage(func(next *string) (string, error) {
			page, err := c.kms.grants(ctx, &kms.ListGrantsInput{KeyId: awssdk.String(keyARN), Limit: awssdk.Int32(100), Marker: next})
			if err != nil {
				return "", c.noKey(err, keyARN)
			}
			for _, g := range page.Grants {
				one, err := toGrant(g)
				if err != nil {
					return "", err
				}
				out = append(out, one)
			}
			if !page.Truncated {
				return "", nil
			}
			return awssdk.ToString(page.NextMarker), nil
		})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func toGrant(g kmstypes.GrantListEntry) (cloud.Grant, error) {
	out := cloud.Grant{
		ID: awssdk.ToString(g.GrantId), Name: awssdk.ToString(g.Name), KeyARN: awssdk.ToString(g.KeyId),
		Grantee: awssdk.ToString(g.GranteePrincipal), Retirer: awssdk.ToString(g.RetiringPrincipal),
		Issuer: awssdk.ToString(g.IssuingAccount), CreatedAt: awssdk.ToTime(g.CreationDate),
	}
	if out.Grantee == "" {
		out.Grantee = awssdk.ToString(g.GranteeServicePrincipal)
	}
	if out.Retirer == "" {
		out.Retirer = awssdk.ToString(g.RetiringServicePrincipal)
	}
	for _, op := range g.Operations {
		out.Operations = append(out.Operations, string(op))
	}
	if c := g.Constraints; c != nil && (len(c.EncryptionContextEquals)+len(c.EncryptionContextSubset) > 0 || c.SourceArn != nil) {
		// Maps are printed in order of their keys, so that equal constraints are equal texts.
		text, err := json.Marshal(struct {
			Equals map[string]string `json:"EncryptionContextEquals,omitempty"`
			Subset map[string]string `json:"EncryptionContextSubset,omitempty"`
			Source string            `json:"SourceArn,omitempty"`
		}{c.EncryptionContextEquals, c.EncryptionContextSubset, awssdk.ToString(c.SourceArn)})
		if err != nil {
			return out, fmt.Errorf("write the constraints of grant %s: %w", out.ID, err)
		}
		out.Constraints = string(text)
	}
	return out, nil
}

// KeyPolicy returns a key's policy, JSON. Errors: CodeNotFound; CodeInvalid for a key of another account
// than the client's role, whose policy AWS does not show. Permission: kms:GetKeyPolicy on the key, which its
// policy must allow too.
func (c *Client) KeyPolicy(ctx context.Context, keyARN string) (string, error) {
	if own, of := accountOf(c.cfg.RoleARN), accountOf(keyARN); own != "" && of != "" && own != of {
		return "", invalid("AWS shows the policy of the key %s only in its own account %s, not in %s", keyARN, of, own)
	}
	var out string
	err := c.ask(ctx, "read the policy of "+keyARN, func(ctx context.Context) error {
		// Every key has one policy, of this name.
		answer, err := c.kms.policy(ctx, &kms.GetKeyPolicyInput{KeyId: awssdk.String(keyARN), PolicyName: awssdk.String("default")})
		if err != nil {
			return c.noKey(err, keyARN)
		}
		out = awssdk.ToString(answer.Policy)
		return nil
	})
	return out, err
}

// accountOf returns the account in an ARN, "" for what is no ARN.
func accountOf(arn string) string {
	if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 && parts[0] == "arn" {
		return parts[4]
	}
	return ""
}
