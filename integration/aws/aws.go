package aws

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"sync"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	defaultTimeout = 30 * time.Second
	maxAttempts    = 4
	defaultBackoff = 5 * time.Second
	sessionTime    = time.Hour // of the assumed role: the shortest maximum that a role can have
)

// Config says as whom, and where, a Client works.
type Config struct {
	Region      string         // such as eu-west-2; needed
	RoleARN     string         // role to assume; empty: the base credentials are used as they are
	ExternalID  upgrade.Secret // that the role's trust policy asks for
	SessionName string         // shown in CloudTrail; default upgradegate
	Endpoint    string         // URL of a simulator for every service; empty: AWS

	// The base credentials. Without a KeyID they come from where every AWS program takes them:
	// environment, shared files, container or instance role.
	KeyID string
	Key   upgrade.Secret
	Token upgrade.Secret // of temporary ones

	Timeout time.Duration // of one question with all its repetitions; default 30 s
	Backoff time.Duration // longest pause before a repetition; default 5 s
	HTTP    *http.Client  // default: the SDK's
	Clock   upgrade.Clock // that stands still while AWS is asked; default upgrade.SystemClock
	Log     *slog.Logger  // default: none
}

// Client asks AWS in one region as one role. Its methods may be called at the same time. Each names the
// permissions that it needs.
//
// Every question ends within Config.Timeout. Errors: CodeForbidden with a *cloud.Denied in the chain when a
// permission is missing, CodeUnauthorized when the credentials are not accepted, CodeLimited when AWS
// wants fewer questions, CodeUnavailable when it did not answer; others are named at the method.
type Client struct {
	cfg    Config
	recent *recent
	calls
}

// New returns a client. It asks nothing yet. Error: CodeInvalid.
func New(cfg Config) (*Client, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	sdk := awssdk.Config{
		Region:      cfg.Region,
		Credentials: awssdk.NewCredentialsCache(cfg.base()),
		Retryer: func() awssdk.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = maxAttempts, cfg.Backoff })
		},
	}
	if cfg.HTTP != nil {
		sdk.HTTPClient = cfg.HTTP
	}
	if cfg.Endpoint != "" {
		sdk.BaseEndpoint = awssdk.String(cfg.Endpoint)
	}
	if cfg.RoleARN != "" {
		sdk.Credentials = awssdk.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(sdk), cfg.RoleARN,
			func(o *stscreds.AssumeRoleOptions) {
				o.RoleSessionName, o.Duration = cfg.SessionName, sessionTime
				if cfg.ExternalID.Set() {
					o.ExternalID = awssdk.String(cfg.ExternalID.Reveal())
				}
			}), func(o *awssdk.CredentialsCacheOptions) { o.ExpiryWindow = 5 * time.Minute })
	}
	return &Client{cfg: cfg, recent: &recent{clock: cfg.Clock}, calls: callsOf(sdk)}, nil
}

var (
	roleForm    = regexp.MustCompile(`^arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+$`)
	sessionForm = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
	regionForm  = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-\d+$`)
)

// check fills in defaults and refuses what AWS would refuse later, with worse words.
func (cfg *Config) check() error {
	if cfg.SessionName == "" {
		cfg.SessionName = "upgradegate"
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Backoff <= 0 {
		cfg.Backoff = defaultBackoff
	}
	if cfg.Clock == nil {
		cfg.Clock = upgrade.SystemClock{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	bad := func(format string, args ...any) error {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf(format, args...)}
	}
	switch {
	case !regionForm.MatchString(cfg.Region):
		return bad("%q is not an AWS region such as eu-west-2", cfg.Region)
	case cfg.RoleARN != "" && !roleForm.MatchString(cfg.RoleARN):
		return bad("%q is not the ARN of an IAM role", cfg.RoleARN)
	case !sessionForm.MatchString(cfg.SessionName):
		return bad("%q cannot name a session: 2 to 64 letters, digits and +=,.@-_", cfg.SessionName)
	case cfg.KeyID != "" && !cfg.Key.Set():
		return bad("the access key %s has no secret", cfg.KeyID)
	}
	if cfg.Endpoint != "" {
		u, err := url.Parse(cfg.Endpoint)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return bad("the endpoint %q is not a URL", cfg.Endpoint)
		}
	}
	return nil
}

// base returns the provider of the base credentials. The default chain is looked up at the first use,
// because that may read files and ask the network.
func (cfg *Config) base() awssdk.CredentialsProvider {
	if cfg.KeyID != "" {
		return credentials.NewStaticCredentialsProvider(cfg.KeyID, cfg.Key.Reveal(), cfg.Token.Reveal())
	}
	var mu sync.Mutex
	var chain awssdk.CredentialsProvider // guarded by mu
	return awssdk.CredentialsProviderFunc(func(ctx context.Context) (awssdk.Credentials, error) {
		mu.Lock()
		defer mu.Unlock()
		if chain == nil {
			found, err := config.LoadDefaultConfig(ctx, config.WithRegion(cfg.Region))
			if err != nil {
				return awssdk.Credentials{}, fmt.Errorf("look for AWS credentials: %w", err)
			}
			chain = found.Credentials
		}
		return chain.Retrieve(ctx)
	})
}

// ask runs one question: within the limit, while the clock stands still, with errors in our codes.
func (c *Client) ask(ctx context.Context, what string, do func(context.Context) error) error {
	end := c.cfg.Clock.Begin()
	defer end()
	limit := fmt.Errorf("%s took longer than %s: %w", what, c.cfg.Timeout, context.DeadlineExceeded)
	inner, cancel := context.WithTimeoutCause(ctx, c.cfg.Timeout, limit)
	defer cancel()
	err := do(inner)
	if err == nil {
		return nil
	}
	if inner.Err() != nil {
		// The SDK says "canceled" for both; the cause knows which of the two contexts it was.
		err = context.Cause(inner)
	}
	return fmt.Errorf("%s: %w", what, c.coded(err))
}
