package awssim

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Shell is how scripts run on instances: it is given the instance and the script, and returns what came of it.
// It is called outside of the simulator's lock, and the world's clock waits for it.
type Shell = func(instanceID, script string) (stdout, stderr string, code int)

// What of a script's output is kept: the Systems Manager API reference, GetCommandInvocation.
const (
	keptStdout = 24_000 // characters
	keptStderr = 8_000
)

// command is a script on one instance.
type command struct {
	id, instance, document string
	sent                   time.Time
	known                  time.Time // from when GetCommandInvocation knows it
	limit                  time.Duration
	ended                  bool
	stdout, stderr         string
	code                   int
}

// sendCommand runs AWS-RunShellScript on one instance. guess: others of the many documents, targets by tag and
// several instances are not simulated.
func sendCommand(c *call) (any, error) {
	var in struct {
		DocumentName, Comment string
		InstanceIDs           []string
		TimeoutSeconds        int
		Parameters            map[string][]string
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	limit := time.Hour
	switch {
	case in.DocumentName != "AWS-RunShellScript":
		return nil, refuse("InvalidDocument", "Document with name %.200s does not exist.", in.DocumentName)
	case len(in.InstanceIDs) != 1:
		return nil, refuse("ValidationException", "the simulator runs a command on exactly one instance")
	case in.TimeoutSeconds != 0 && in.TimeoutSeconds < 30:
		return nil, refuse("ValidationException", "1 validation error detected: Value '%d' at 'timeoutSeconds' failed to satisfy constraint: Member must have value greater than or equal to 30", in.TimeoutSeconds)
	case len(in.Comment) > 100:
		return nil, refuse("ValidationException", "1 validation error detected: Value at 'comment' failed to satisfy constraint: Member must have length less than or equal to 100")
	case len(in.Parameters["commands"]) == 0:
		return nil, refuse("InvalidParameters", "Missing required parameter: commands")
	}
	if given := in.Parameters["executionTimeout"]; len(given) == 1 {
		seconds, err := strconv.Atoi(given[0])
		if err != nil || seconds < 1 || seconds > 172800 {
			return nil, refuse("InvalidParameters", "Parameter \"executionTimeout\" has value \"%.20s\" not matching the allowed pattern", given[0])
		}
		limit = time.Duration(seconds) * time.Second
	}
	at := find(c.realm.instances, func(i *instance) bool { return i.id == in.InstanceIDs[0] })
	if at == nil {
		return nil, refuse("InvalidInstanceId", "")
	}
	if status, known := c.managed(at, c.now); !known || status != "Online" {
		return nil, refuse("InvalidInstanceId", "Instances [[%s]] not in a valid state for account %s", at.id, c.realm.account)
	}
	cmd := &command{id: c.uuid(), instance: at.id, document: in.DocumentName, sent: c.now, known: c.now.Add(c.cfg.Timing.Invocation), limit: limit, code: -1}
	c.realm.commands = append(c.realm.commands, cmd)
	c.run(cmd, strings.Join(in.Parameters["commands"], "\n")+"\n")
	return map[string]any{"Command": map[string]any{
		"CommandId": cmd.id, "DocumentName": cmd.document, "InstanceIds": []string{cmd.instance}, "Status": "Pending", "StatusDetails": "Pending",
		"RequestedDateTime": epoch(cmd.sent), "Comment": in.Comment, "TargetCount": 1, "CompletedCount": 0, "ErrorCount": 0,
	}}, nil
}

// run runs a script beside everything else. Without a shell it succeeds and says nothing.
func (w *world) run(cmd *command, script string) {
	shell := w.cfg.Shell
	if shell == nil {
		shell = func(string, string) (string, string, int) { return "", "", 0 }
	}
	w.beside(func() (then func()) {
		stdout, stderr, code := shell(cmd.instance, script)
		return func() {
			cmd.ended, cmd.code = true, code
			cmd.stdout, cmd.stderr = firstOf(stdout, keptStdout), firstOf(stderr, keptStderr)
		}
	})
}

// firstOf returns the first n characters of a text.
func firstOf(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n])
}

func getCommandInvocation(c *call) (any, error) {
	var in struct{ CommandID, InstanceID string }
	if err := c.read(&in); err != nil {
		return nil, err
	}
	at := slices.IndexFunc(c.realm.commands, func(cmd *command) bool {
		return cmd.id == in.CommandID && cmd.instance == in.InstanceID && !c.now.Before(cmd.known)
	})
	if at < 0 {
		return nil, refuse("InvocationDoesNotExist", "")
	}
	cmd := c.realm.commands[at]
	status, details := "InProgress", "InProgress"
	switch {
	case cmd.ended && cmd.code == 0:
		status, details = "Success", "Success"
	case cmd.ended:
		status, details = "Failed", "Failed"
	case c.now.Sub(cmd.sent) > cmd.limit:
		status, details = "TimedOut", "ExecutionTimedOut"
	}
	return map[string]any{
		"CommandId": cmd.id, "InstanceId": cmd.instance, "DocumentName": cmd.document, "Status": status, "StatusDetails": details, "ResponseCode": cmd.code,
		"StandardOutputContent": cmd.stdout, "StandardErrorContent": cmd.stderr, "StandardOutputUrl": "", "StandardErrorUrl": "", "PluginName": "aws:runShellScript",
	}, nil
}
