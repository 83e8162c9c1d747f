package awssim

import "encoding/base64"

// getConsoleOutput shows that an instance booted. One that died at launch never wrote a line: its user
// data did not run.
func getConsoleOutput(c *call) (any, error) {
	_ = c.p.str("Latest")
	all, err := chosen(c.realm.instances, []string{c.p.str("InstanceId")}, func(i *instance) string { return i.id })
	if err != nil {
		return nil, err
	}
	i := all[0]
	out := []node{tx("instanceId", i.id), stamp("timestamp", c.now)}
	if i.ran.IsZero() {
		return out, nil
	}
	text := "[    0.000000] Linux version 6.1.140\r\n" + i.id + " login: "
	return append(out, tx("output", base64.StdEncoding.EncodeToString([]byte(text)))), nil
}
