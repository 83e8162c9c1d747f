package awsprovider

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// kmsTimeout is how long a change in KMS may take to be seen everywhere. The original waits three minutes.
const kmsTimeout = 3 * time.Minute

// principalTimeout is how long a principal may be unknown to KMS that IAM may just have made. The
// original waits three minutes; in a simulation it is a mistake in the configuration.
const principalTimeout = 10 * time.Second

// kmsGrant is aws_kms_grant. Its id is the key as it is written in the configuration, a colon, and the
// grant's id. A grant cannot be changed, so that every argument forces a replacement.
type kmsGrant struct{ base }

func newKMSGrant() resource.Resource { return &kmsGrant{base{kind: "kms_grant"}} }

// ValidateConfig refuses two kinds of constraints in one grant, as KMS does.
func (r *kmsGrant) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	if !req.Config.Raw.IsFullyKnown() {
		return // it is validated again once all is known
	}
	var m kmsGrantModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	kinds := 0
	for _, c := range m.Constraints {
		for _, context := range []types.Map{c.Equals, c.Subset} {
			if len(context.Elements()) > 0 {
				kinds++
			}
		}
	}
	if kinds > 1 {
		resp.Diagnostics.AddError("Invalid constraints",
			"A grant constraint can't have both encryption_context_equals and encryption_context_subset set")
	}
}

// Create creates the grant. Like the original it does not look for one that is there already: with a name
// and otherwise equal parameters KMS returns the grant of somebody else, which then is in two states.
func (r *kmsGrant) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m kmsGrantModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	key := m.KeyID.ValueString()
	var out *kms.CreateGrantOutput
	var notYet error
	err := r.poll(ctx, time.Second, principalTimeout, "creation", func(ctx context.Context) (bool, error) {
		var err error
		out, err = r.kms.CreateGrant(ctx, m.input(ctx))
		if hasCode(err, "DependencyTimeoutException", "KMSInternalException", "InvalidArnException") {
			notYet = err
			return false, nil // a principal that was just made may not be known yet
		}
		return err == nil, err
	})
	if err != nil {
		resp.Diagnostics.AddError("creating KMS Grant for Key ("+key+")", words(err, notYet))
		return
	}
	m.GrantID, m.GrantToken = types.StringPointerValue(out.GrantId), types.StringPointerValue(out.GrantToken)
	m.ID = types.StringValue(key + ":" + m.GrantID.ValueString())
	remember(ctx, resp, m.ID.ValueString())
	err = r.poll(ctx, 500*time.Millisecond, kmsTimeout, "listing the new grant", func(ctx context.Context) (bool, error) {
		grant, err := r.findGrant(ctx, key, m.GrantID.ValueString())
		return grant != nil, err
	})
	if err != nil {
		resp.Diagnostics.AddError("reading KMS Grant ("+m.ID.ValueString()+")", err.Error())
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// findGrant looks through all pages of a key's grants; nil if the grant, or the key, is not there.
func (r *kmsGrant) findGrant(ctx context.Context, key, id string) (*kmstypes.GrantListEntry, error) {
	pages := kms.NewListGrantsPaginator(r.kms, &kms.ListGrantsInput{KeyId: &key, Limit: aws.Int32(100)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, ignore(err, "NotFoundException")
		}
		for _, grant := range page.Grants {
			if aws.ToString(grant.GrantId) == id {
				return &grant, nil
			}
		}
	}
	return nil, nil
}

// Read refreshes the state. A grant that is gone is taken out of it at once; the original looks for it for
// three minutes first.
func (r *kmsGrant) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m kmsGrantModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	key, id, err := splitGrantID(m.ID.ValueString())
	if err != nil {
		resp.Diagnostics.AddError("reading KMS Grant ("+m.ID.ValueString()+")", err.Error())
		return
	}
	grant, err := r.findGrant(ctx, key, id)
	if err != nil {
		resp.Diagnostics.AddError("reading KMS Grant ("+m.ID.ValueString()+")", err.Error())
		return
	}
	if grant == nil {
		resp.State.RemoveResource(ctx)
		return
	}
	m.read(ctx, key, grant)
	if m.RetireOnDelete.IsNull() {
		m.RetireOnDelete = types.BoolValue(false) // imported; anything else would plan to replace the grant, which takes it away
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Update is never called: every argument forces a replacement.
func (r *kmsGrant) Update(_ context.Context, _ resource.UpdateRequest, resp *resource.UpdateResponse) {
	resp.Diagnostics.AddError("updating KMS Grant", "a grant cannot be changed, only replaced")
}

// Delete revokes the grant, or retires it if the configuration says so, whoever else may need it.
func (r *kmsGrant) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m kmsGrantModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	key, id, err := splitGrantID(m.ID.ValueString())
	if err == nil {
		err = r.end(ctx, key, id, m.RetireOnDelete.ValueBool())
	}
	if err != nil {
		resp.Diagnostics.AddError("deleting KMS Grant ("+m.ID.ValueString()+")", err.Error())
	}
}

func (r *kmsGrant) end(ctx context.Context, key, id string, retire bool) error {
	var err error
	if retire {
		_, err = r.kms.RetireGrant(ctx, &kms.RetireGrantInput{KeyId: &key, GrantId: &id})
	} else {
		_, err = r.kms.RevokeGrant(ctx, &kms.RevokeGrantInput{KeyId: &key, GrantId: &id})
	}
	if err != nil {
		return ignore(err, "NotFoundException")
	}
	return r.poll(ctx, 500*time.Millisecond, kmsTimeout, "ending the grant", func(ctx context.Context) (bool, error) {
		grant, err := r.findGrant(ctx, key, id)
		return err == nil && grant == nil, err
	})
}

// errGrantID is the error for an id that is not of the form that Create makes.
var errGrantID = errors.New("expected KeyID:GrantID")

// splitGrantID takes apart the id of the resource. The key may be an ARN, which has colons of its own.
func splitGrantID(id string) (key, grant string, err error) {
	at := strings.LastIndex(id, ":")
	if at <= 0 || at == len(id)-1 || strings.HasPrefix(id, "arn:") && !strings.Contains(id[:at], "/") {
		return "", "", fmt.Errorf("parse id %q: %w", id, errGrantID)
	}
	return id[:at], id[at+1:], nil
}
