package aws

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// shellDocument is the document of AWS's own that runs a shell script, as root.
const shellDocument = "AWS-RunShellScript"

// deliverWithin is how long Systems Manager tries to reach the instance: the least that it takes.
const deliverWithin = 30 * time.Second

// RunScript has AWS Systems Manager run a shell script on an instance that answers it, for at most limit, and
// returns the command's id. The script can be read afterwards by whoever may list commands: it must hold no
// secret. Errors: CodeUnavailable for an instance that does not answer Systems Manager. Permission:
// ssm:SendCommand on the instance and on the document AWS-RunShellScript.
func (c *Client) RunScript(ctx context.Context, instanceID, script string, limit time.Duration) (id string, err error) {
	err = c.ask(ctx, "run a script on "+instanceID, func(ctx context.Context) error {
		answer, err := c.ssm.send(ctx, &ssm.SendCommandInput{
			DocumentName: awssdk.String(shellDocument), InstanceIds: []string{instanceID},
			Comment: awssdk.String("upgradegate: probe from a test instance"), TimeoutSeconds: awssdk.Int32(int32(deliverWithin / time.Second)),
			Parameters: map[string][]string{"commands": {script}, "executionTimeout": {strconv.Itoa(max(1, int(limit/time.Second)))}},
		})
		if invalid := (*ssmtypes.InvalidInstanceId)(nil); errors.As(err, &invalid) {
			return &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: fmt.Sprintf("%s does not answer Systems Manager", instanceID), Cause: err}
		}
		if err != nil {
			return err
		}
		if answer.Command == nil || awssdk.ToString(answer.Command.CommandId) == "" {
			return &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "AWS took the script and named no command"}
		}
		id = awssdk.ToString(answer.Command.CommandId)
		return nil
	})
	return id, err
}

// Command returns how far a command is on an instance. One that Systems Manager does not know yet, as it may
// for some seconds, has no status. Permission: ssm:GetCommandInvocation.
func (c *Client) Command(ctx context.Context, id, instanceID string) (command cloud.Command, err error) {
	command = cloud.Command{ID: id, InstanceID: instanceID, Code: -1}
	err = c.ask(ctx, fmt.Sprintf("look what came of command %s on %s", id, instanceID), func(ctx context.Context) error {
		answer, err := c.ssm.invocation(ctx, &ssm.GetCommandInvocationInput{CommandId: awssdk.String(id), InstanceId: awssdk.String(instanceID)})
		if unknown := (*ssmtypes.InvocationDoesNotExist)(nil); errors.As(err, &unknown) {
			return nil
		}
		if err != nil {
			return err
		}
		command.Status, command.Details, command.Code = string(answer.Status), awssdk.ToString(answer.StatusDetails), int(answer.ResponseCode)
		command.Stdout, command.Stderr = awssdk.ToString(answer.StandardOutputContent), awssdk.ToString(answer.StandardErrorContent)
		return nil
	})
	return command, err
}
