package awsprovider

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/upgradegate/upgradegate/upgrade"
)

// The services, by the names that the endpoints block has for them.
const (
	serviceAutoScaling = "autoscaling"
	serviceEC2         = "ec2"
	serviceKMS         = "kms"
	serviceSTS         = "sts"
)

// callTimeout limits one request to AWS, without the SDK's retries.
const callTimeout = 30 * time.Second

// settings is the checked configuration of the provider.
type settings struct {
	region                           string
	accessKey, secretKey, token      string
	roleARN, externalID, sessionName string // of the role to assume; empty: none
	endpoints                        map[string]string
	defaultTags                      map[string]string
}

// clients is what all resources share.
type clients struct {
	autoscaling *autoscaling.Client
	ec2         ec2Calls
	kms         *kms.Client
	sts         *sts.Client

	region      string
	account     string // 12 digits; empty if it was not to be asked for
	callerARN   string
	callerID    string
	defaultTags map[string]string
	clock       upgrade.Clock
}

// newClients calls nobody. It does without the SDK's config package, which would look for credentials
// in files and at the metadata service.
func newClients(s settings, clock upgrade.Clock) *clients {
	config := aws.Config{
		Region:      s.region,
		Credentials: credentials.NewStaticCredentialsProvider(s.accessKey, s.secretKey, s.token),
		HTTPClient:  awshttp.NewBuildableClient().WithTimeout(callTimeout),
	}
	endpoint := func(service string) *string { return aws.String(s.endpoints[service]) }
	newSTS := func() *sts.Client {
		return sts.NewFromConfig(config, func(o *sts.Options) { o.BaseEndpoint = endpoint(serviceSTS) })
	}
	if s.roleARN != "" {
		assume := stscreds.NewAssumeRoleProvider(newSTS(), s.roleARN, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = s.sessionName
			if s.externalID != "" {
				o.ExternalID = &s.externalID
			}
		})
		config.Credentials = aws.NewCredentialsCache(assume)
	}
	return &clients{
		autoscaling: autoscaling.NewFromConfig(config, func(o *autoscaling.Options) { o.BaseEndpoint = endpoint(serviceAutoScaling) }),
		ec2:         ec2CallsOf(ec2.NewFromConfig(config, func(o *ec2.Options) { o.BaseEndpoint = endpoint(serviceEC2) })),
		kms:         kms.NewFromConfig(config, func(o *kms.Options) { o.BaseEndpoint = endpoint(serviceKMS) }),
		sts:         newSTS(),
		region:      s.region,
		defaultTags: s.defaultTags,
		clock:       clock,
	}
}

// identify finds out which account the credentials belong to.
func (c *clients) identify(ctx context.Context) error {
	who, err := c.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return err
	}
	c.account, c.callerARN, c.callerID = aws.ToString(who.Account), aws.ToString(who.Arn), aws.ToString(who.UserId)
	return nil
}

// arn returns the ARN of a thing of EC2 in the provider's account and region.
func (c *clients) arn(kind, id string) string {
	return "arn:aws:ec2:" + c.region + ":" + c.account + ":" + kind + "/" + id
}

// uniqueSuffixLen is the length of what is appended to a name prefix: 18 digits and 8 hex digits.
const uniqueSuffixLen = 26

// name returns the name to create something under: the given one, or the prefix (if there is none,
// "terraform-") with a suffix of the form that the original uses.
func (c *clients) name(name, prefix string) string {
	if name != "" {
		return name
	}
	if prefix == "" {
		prefix = "terraform-"
	}
	stamp := strings.ReplaceAll(c.clock.Now().UTC().Format("20060102150405.0000"), ".", "")
	random := make([]byte, 4)
	_, _ = rand.Read(random) // never fails
	return prefix + stamp + hex.EncodeToString(random)
}

// namePrefix returns the prefix of a name that name made, else "".
func namePrefix(name string) string {
	at := len(name) - uniqueSuffixLen
	if at < 0 {
		return ""
	}
	for i, r := range name[at:] {
		isDigit := r >= '0' && r <= '9'
		if isHex := r >= 'a' && r <= 'f'; !isDigit && (!isHex || i < 18) {
			return ""
		}
	}
	return name[:at]
}

// poll calls done until it says so or fails, every now and then, for at most limit of the clock's time.
// what completes the sentence "… took longer than".
func (c *clients) poll(ctx context.Context, every, limit time.Duration, what string, done func(context.Context) (bool, error)) error {
	start := c.clock.Now()
	for {
		ok, err := done(ctx)
		if err != nil || ok {
			return err
		}
		if c.clock.Now().Sub(start) >= limit {
			return fmt.Errorf("%s took longer than %s", what, limit)
		}
		if err := c.clock.Sleep(ctx, every); err != nil {
			return err
		}
	}
}

// hasCode reports whether AWS answered with one of the error codes.
func hasCode(err error, codes ...string) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	for _, code := range codes {
		if api.ErrorCode() == code {
			return true
		}
	}
	return false
}

// says reports whether AWS answered with the error code and these words. Auto Scaling has the one code
// ValidationError for nearly everything.
func says(err error, code, words string) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == code && strings.Contains(api.ErrorMessage(), words)
}

// ignore returns err, or nil if AWS answered with the error code.
func ignore(err error, code string) error {
	if hasCode(err, code) {
		return nil
	}
	return err
}

// errGone is the error when AWS no longer lists what it has just changed.
var errGone = errors.New("AWS does not list it, though it was there a moment ago")

// words returns what the errors say; without any, errGone.
func words(errs ...error) string {
	return cmp.Or(errors.Join(errs...), errGone).Error()
}
