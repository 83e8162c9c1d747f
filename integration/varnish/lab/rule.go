package lab

import (
	"fmt"
	"net/netip"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Verb is what happens to a new connection.
type Verb string

// The verbs. The zero value admits.
const (
	VerbAdmit  Verb = ""
	VerbRefuse Verb = "refuse" // answered with a reset, as if nothing listened
	VerbDrop   Verb = "drop"   // never answered, as a security group does
)

// Rule says what happens to new TCP connections from a range of sources to a range of ports. Established
// connections live on whatever the rules become, as they do behind a security group.
type Rule struct {
	From    netip.Prefix
	Port    uint16 // 0: every port
	PortEnd uint16 // last port of a range that begins with Port; 0: Port alone
	Verb    Verb
}

// Admit lets new connections from a range reach a port, 0 for every port.
func Admit(from netip.Prefix, port uint16) Rule { return Rule{From: from, Port: port} }

// Refuse resets new connections from a range to a port, 0 for every port.
func Refuse(from netip.Prefix, port uint16) Rule {
	return Rule{From: from, Port: port, Verb: VerbRefuse}
}

// Drop leaves new connections from a range to a port, 0 for every port, without an answer.
func Drop(from netip.Prefix, port uint16) Rule { return Rule{From: from, Port: port, Verb: VerbDrop} }

// Anywhere is every source.
func Anywhere() netip.Prefix { return netip.PrefixFrom(netip.IPv4Unspecified(), 0) }

// check refuses rules that would not mean what they say. Error: CodeInvalid.
func check(rules []Rule) error {
	for i, r := range rules {
		switch {
		case !r.From.IsValid():
			return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("rule %d has no source", i+1)}
		case r.PortEnd != 0 && r.PortEnd < r.Port:
			return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("rule %d ends at port %d, before it begins at %d", i+1, r.PortEnd, r.Port)}
		case r.Verb != VerbAdmit && r.Verb != VerbRefuse && r.Verb != VerbDrop:
			return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("rule %d: no verb %q", i+1, r.Verb)}
		}
	}
	return nil
}

// decide returns the verb of the first rule that fits; what no rule fits is dropped.
func decide(rules []Rule, from netip.Addr, port uint16) Verb {
	for _, r := range rules {
		last := max(r.Port, r.PortEnd)
		if r.From.Contains(from) && (last == 0 || port >= r.Port && port <= last) {
			return r.Verb
		}
	}
	return VerbDrop
}
