package awssim

import (
	"encoding/base64"
	"strings"
)

// getConsoleOutput shows that an instance booted, and what its user data printed. One that died at launch
// never wrote a line: its user data did not run.
func getConsoleOutput(c *call) (any, error) {
	_ = c.p.str("Latest")
	all, err := chosen(c.realm.instances, []string{c.p.str("InstanceId")}, func(i *instance) string { return i.id })
	if err != nil {
		return nil, err
	}
	i := all[0]
	out := []node{tx("instanceId", i.id), stamp("timestamp", c.now)}
	if i.ran.IsZero() || i.spoil.NoConsole {
		return out, nil
	}
	var text strings.Builder
	text.WriteString("[    0.000000] Linux version 6.1.140\r\n")
	if !c.now.Before(i.ran.Add(c.cfg.Timing.Console)) {
		for _, line := range printed(i.userData) {
			text.WriteString("[   21.400000] cloud-init[1701]: " + line + "\r\n")
		}
		text.WriteString(i.id + " login: ")
	}
	return append(out, tx("output", base64.StdEncoding.EncodeToString([]byte(text.String())))), nil
}

// printed returns what a script of user data says with echo, one line each. It is no shell: words in
// quotes, and where the output goes, are all that is understood.
func printed(script string) []string {
	var out []string
	for line := range strings.SplitSeq(script, "\n") {
		text, says := strings.CutPrefix(strings.TrimSpace(line), "echo ")
		if !says {
			continue
		}
		text, into, elsewhere := strings.Cut(text, ">")
		into = strings.TrimLeft(into, "> ")
		if elsewhere && !strings.HasPrefix(into, "/dev/console") && !strings.HasPrefix(into, "/dev/ttyS0") && into != "&2" {
			continue
		}
		text, _, _ = strings.Cut(text, "|")
		out = append(out, strings.Trim(strings.TrimSpace(text), `"'`))
	}
	return out
}
