package aws

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// Template returns what one version of a launch template says. $Latest and $Default are resolved as of
// now; no version is $Default. The template is named by its id, or without one by its name. Error:
// CodeNotFound for the template or the version. Permission: ec2:DescribeLaunchTemplateVersions.
func (c *Client) Template(ctx context.Context, template cloud.Template) (cloud.TemplateVersion, error) {
	var out cloud.TemplateVersion
	err := c.ask(ctx, "read launch template "+nameOf(template), func(ctx context.Context) error {
		v, err := c.version(ctx, template)
		if err != nil {
			return err
		}
		out = toTemplateVersion(v)
		return nil
	})
	return out, err
}

func nameOf(t cloud.Template) string {
	if t.Name != "" {
		return t.Name
	}
	return t.ID
}

// resolve makes the version of a template a number, and completes what names it: in overrides AWS repeats
// what it was given.
func (c *Client) resolve(ctx context.Context, t cloud.Template) (cloud.Template, error) {
	if _, err := strconv.Atoi(t.Version); err == nil && t.ID != "" && t.Name != "" {
		return t, nil
	}
	v, err := c.version(ctx, t)
	if err != nil {
		return t, err
	}
	return toTemplateVersion(v).Template, nil
}

// version returns one version of a template as the SDK has it.
func (c *Client) version(ctx context.Context, t cloud.Template) (ec2types.LaunchTemplateVersion, error) {
	if t.Version == "" {
		t.Version = "$Default"
	}
	in := &ec2.DescribeLaunchTemplateVersionsInput{Versions: []string{t.Version}}
	if t.ID != "" {
		in.LaunchTemplateId = awssdk.String(t.ID)
	} else {
		in.LaunchTemplateName = awssdk.String(t.Name)
	}
	answer, err := c.ec2.versions(ctx, in)
	if err != nil {
		return ec2types.LaunchTemplateVersion{}, err
	}
	if len(answer.LaunchTemplateVersions) != 1 {
		return ec2types.LaunchTemplateVersion{}, &upgrade.Error{
			Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("launch template %s has no version %s", nameOf(t), t.Version),
		}
	}
	return answer.LaunchTemplateVersions[0], nil
}

func toTemplateVersion(v ec2types.LaunchTemplateVersion) cloud.TemplateVersion {
	out := cloud.TemplateVersion{Template: cloud.Template{
		ID: awssdk.ToString(v.LaunchTemplateId), Name: awssdk.ToString(v.LaunchTemplateName),
		Version: strconv.FormatInt(awssdk.ToInt64(v.VersionNumber), 10),
	}}
	data := v.LaunchTemplateData
	if data == nil {
		return out
	}
	out.ImageID, out.InstanceType = awssdk.ToString(data.ImageId), string(data.InstanceType)
	if p := data.IamInstanceProfile; p != nil {
		if out.Profile = awssdk.ToString(p.Arn); out.Profile == "" {
			out.Profile = awssdk.ToString(p.Name)
		}
	}
	for _, m := range data.BlockDeviceMappings {
		d := cloud.Device{Name: awssdk.ToString(m.DeviceName), Absent: m.NoDevice != nil || m.VirtualName != nil}
		if ebs := m.Ebs; ebs != nil {
			d.SnapshotID, d.Encrypted, d.KeyID = awssdk.ToString(ebs.SnapshotId), ebs.Encrypted, awssdk.ToString(ebs.KmsKeyId)
		}
		out.Devices = append(out.Devices, d)
	}
	return out
}

// byParameter begins an image id that names a parameter of Systems Manager, which holds the id.
const byParameter = "resolve:ssm:"

// Image returns an AMI by its id, or by "resolve:ssm:" and the name or ARN of a parameter, with ":" and a
// version or label if any, as launch templates write it. Error: CodeNotFound, also for an image that is
// there and not shared with the account: AWS does not tell the two apart. Permissions: ec2:DescribeImages;
// ssm:GetParameter where a parameter names the image.
func (c *Client) Image(ctx context.Context, id string) (cloud.Image, error) {
	var out cloud.Image
	err := c.ask(ctx, "read image "+id, func(ctx context.Context) error {
		id := id
		if name, ok := strings.CutPrefix(id, byParameter); ok {
			var err error
			if id, err = c.imageOf(ctx, name); err != nil {
				return err
			}
		}
		missing := &upgrade.Error{
			Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("the image %s does not exist in %s, or is not shared with %s", id, c.cfg.Region, c.account()),
			Hint: "share it with the account, or let the launch template name another",
		}
		answer, err := c.ec2.images(ctx, &ec2.DescribeImagesInput{ImageIds: []string{id}, IncludeDisabled: awssdk.Bool(true)})
		if err != nil {
			if isCode(err, upgrade.CodeNotFound) {
				missing.Cause = err
				return missing
			}
			return err
		}
		for _, i := range answer.Images {
			if awssdk.ToString(i.ImageId) == id {
				out = toImage(i)
				return nil
			}
		}
		return missing
	})
	return out, err
}

// imageOf returns the id that a parameter holds.
func (c *Client) imageOf(ctx context.Context, name string) (string, error) {
	answer, err := c.ssm.parameter(ctx, &ssm.GetParameterInput{Name: awssdk.String(name)})
	if err != nil {
		if isCode(err, upgrade.CodeNotFound) {
			return "", &upgrade.Error{
				Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("there is no parameter %s in %s, by which the launch template names its image", name, c.cfg.Region),
				Cause: err,
			}
		}
		return "", err
	}
	value := ""
	if answer.Parameter != nil {
		value = awssdk.ToString(answer.Parameter.Value)
	}
	if !strings.HasPrefix(value, "ami-") {
		return "", invalid("the parameter %s names no image: its value does not begin with ami-", name)
	}
	return value, nil
}

// account names the account for people, as far as it is known without asking.
func (c *Client) account() string {
	if id := accountOf(c.cfg.RoleARN); id != "" {
		return "account " + id
	}
	return "this account"
}

func toImage(i ec2types.Image) cloud.Image {
	out := cloud.Image{ID: awssdk.ToString(i.ImageId), Name: awssdk.ToString(i.Name), State: string(i.State), Owner: awssdk.ToString(i.OwnerId)}
	for _, m := range i.BlockDeviceMappings {
		d := cloud.Device{Name: awssdk.ToString(m.DeviceName), Absent: m.NoDevice != nil || m.VirtualName != nil}
		if ebs := m.Ebs; ebs != nil {
			d.SnapshotID, d.Encrypted, d.KeyID = awssdk.ToString(ebs.SnapshotId), ebs.Encrypted, awssdk.ToString(ebs.KmsKeyId)
		}
		out.Devices = append(out.Devices, d)
	}
	return out
}

// Snapshots returns those of the named snapshots that can be seen, in the order of ids. Permission:
// ec2:DescribeSnapshots.
func (c *Client) Snapshots(ctx context.Context, ids []string) ([]cloud.Snapshot, error) {
	found := map[string]cloud.Snapshot{}
	for some := range slices.Chunk(ids, perQuestion) {
		err := c.ask(ctx, "read snapshots", func(ctx context.Context) error {
			err := c.snapshots(ctx, some, found)
			if !isCode(err, upgrade.CodeNotFound) {
				return err
			}
			// One that cannot be seen makes EC2 refuse the whole question, and a filter instead would
			// make it go through every public snapshot there is.
			for _, id := range some {
				if err := c.snapshots(ctx, []string{id}, found); err != nil && !isCode(err, upgrade.CodeNotFound) {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	var out []cloud.Snapshot
	for _, id := range ids {
		if s, ok := found[id]; ok {
			out = append(out, s)
			delete(found, id) // named twice, returned once
		}
	}
	return out, nil
}

func (c *Client) snapshots(ctx context.Context, ids []string, found map[string]cloud.Snapshot) error {
	return eachPage(func(next *string) (string, error) {
		page, err := c.ec2.snapshots(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: ids, NextToken: next})
		if err != nil {
			return "", err
		}
		for _, s := range page.Snapshots {
			one := cloud.Snapshot{ID: awssdk.ToString(s.SnapshotId), Owner: awssdk.ToString(s.OwnerId), Encrypted: awssdk.ToBool(s.Encrypted), KeyID: awssdk.ToString(s.KmsKeyId)}
			found[one.ID] = one
		}
		return awssdk.ToString(page.NextToken), nil
	})
}

// EBSDefault returns how the account encrypts volumes in the region unless told otherwise. Permissions:
// ec2:GetEbsEncryptionByDefault, ec2:GetEbsDefaultKmsKeyId.
func (c *Client) EBSDefault(ctx context.Context) (cloud.EBSDefault, error) {
	var out cloud.EBSDefault
	err := c.ask(ctx, "read how volumes are encrypted by default", func(ctx context.Context) error {
		does, err := c.ec2.encrypts(ctx, &ec2.GetEbsEncryptionByDefaultInput{})
		if err != nil {
			return err
		}
		// The key counts without that too: a volume may ask to be encrypted and name no key.
		key, err := c.ec2.defaultKey(ctx, &ec2.GetEbsDefaultKmsKeyIdInput{})
		if err != nil {
			return err
		}
		out = cloud.EBSDefault{Encrypt: awssdk.ToBool(does.EbsEncryptionByDefault), KeyID: awssdk.ToString(key.KmsKeyId)}
		return nil
	})
	return out, err
}

// isCode reports whether an error of the SDK means code.
func isCode(err error, code upgrade.Code) bool {
	api := smithy.APIError(nil)
	return errors.As(err, &api) && codeOf(api.ErrorCode(), status(err)) == code
}
