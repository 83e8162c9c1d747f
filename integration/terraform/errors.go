package terraform

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

var (
	place  = regexp.MustCompile(`\bon (\S+) line (\d+)`)
	border = regexp.MustCompile(`(?m)^[│╷╵] ?`)
)

// fromText finds an error in what Terraform prints for people: init, workspace and show know no JSON
// log in every version. It is the first one that has a place in the configuration, else the first: init
// may begin with a general remark. nil: there is none.
func fromText(text string) *Diagnostic {
	text = border.ReplaceAllString(text, "")
	var first *Diagnostic
	for i, part := range strings.Split("\n"+text, "\nError: ") {
		if i == 0 {
			continue
		}
		d := oneFromText(part)
		if d.Range != nil {
			return d
		}
		if first == nil {
			first = d
		}
	}
	return first
}

func oneFromText(part string) *Diagnostic {
	summary, rest, _ := strings.Cut(part, "\n")
	d := &Diagnostic{Severity: "error", Summary: summary}
	blocks := strings.Split(strings.TrimSpace(rest), "\n\n")
	if found := place.FindStringSubmatch(blocks[0]); found != nil {
		line, err := strconv.Atoi(found[2])
		if err == nil {
			d.Range = newRange(found[1], line)
			blocks = blocks[1:]
		}
	}
	d.Detail = strings.Join(blocks, "\n\n")
	return d
}

func newRange(file string, line int) *Range {
	r := &Range{Filename: file}
	r.Start.Line = line
	return r
}

// passing are words in an error that say that the network or the other side failed, not the
// configuration. There is no code to go by; the contract test pins those that can be provoked.
func passing() []string {
	return []string{
		"connection refused", "connection reset", "no such host", "i/o timeout", "TLS handshake timeout",
		"context deadline exceeded", "Client.Timeout", "could not connect to registry", "unexpected EOF",
		"temporary failure in name resolution", "server misbehaving", "network is unreachable", "no route to host",
		"RequestError: send request failed", "502 Bad Gateway", "503 Service Unavailable", "504 Gateway",
		"429 Too Many Requests", "Error acquiring the state lock",
	}
}

// failure turns the end of a command into an error: the context's cause, or CodeUnavailable for what
// may pass, or CodeInvalid with Terraform's first error. It must be called before anybody asks err for
// its text: terraform-exec's own error panics when a cancelled command ended well.
func (w *workplace) failure(ctx context.Context, what string, err error, first *Diagnostic, stderr string) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
	if first == nil {
		first = fromText(stderr)
	}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() < 0:
		return &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: what + ": Terraform was killed", Cause: errors.New(exit.Error())}
	case !errors.As(err, &exit):
		return fmt.Errorf("%s: %w", what, err)
	case first == nil: // a few errors come as plain text
		first = &Diagnostic{Summary: fmt.Sprintf("%s: Terraform ended with exit code %d", what, exit.ExitCode())}
		first.Detail, _, _ = strings.Cut(strings.TrimSpace(stderr), "\n\n")
	}
	if lock := first.lock(); lock != nil {
		return lock.error()
	}
	e := &upgrade.Error{Code: upgrade.CodeInvalid, Msg: w.masker.Mask(first.Sentence())}
	text := oneLine(first.Summary + " " + first.Detail) // Terraform breaks lines
	for _, word := range passing() {
		if strings.Contains(text, word) {
			e.Code = upgrade.CodeUnavailable
		}
	}
	return e
}
