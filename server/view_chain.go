package server

import (
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

// no is a result that says no, with everything in words that it saw.
type no struct {
	result upgrade.Result
	text   string
}

// noes are the results of a run that say no, in the order of its gates.
type noes struct {
	d   runData
	all []no
}

func noesOf(d runData) noes {
	n := noes{d: d}
	for _, r := range d.results {
		if r.Outcome != upgrade.OutcomeFailed {
			continue
		}
		var b strings.Builder
		b.WriteString(r.Message)
		for _, f := range r.Evidence.Facts {
			b.WriteString("\n" + f.Value)
		}
		for _, t := range r.Evidence.Tables {
			for _, row := range t.Rows {
				b.WriteString("\n" + strings.Join(row, "\n"))
			}
		}
		for _, m := range r.Evidence.Marks {
			if m.Failed {
				b.WriteString("\n" + m.Address)
			}
		}
		n.all = append(n.all, no{r, b.String()})
	}
	return n
}

// naming returns which of the noes name a resource.
func (n noes) naming(address string) (found []int) {
	for i, one := range n.all {
		if slices.Contains(one.result.Evidence.About, address) || names(one.text, address) {
			found = append(found, i)
		}
	}
	return found
}

// names reports whether a text has an address of Terraform's, and not only a longer one of which it is a piece.
func names(text, address string) bool {
	word := func(c byte) bool {
		return c == '_' || c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
	}
	for from := 0; address != ""; {
		at := strings.Index(text[from:], address)
		if at < 0 {
			return false
		}
		begin, end := from+at, from+at+len(address)
		longer := begin > 0 && (word(text[begin-1]) || text[begin-1] == '.') ||
			end < len(text) && (word(text[end]) || text[end] == '[') ||
			end+1 < len(text) && text[end] == '.' && word(text[end+1])
		if !longer {
			return true
		}
		from = end
	}
	return false
}

// links lead to the gates that said no to a resource.
func (n noes) links(address, path string) (out []link) {
	for _, i := range n.naming(address) {
		r := n.all[i].result
		out = append(out, link{Text: kindTitle(r.Kind) + " said no", Href: path + "#" + gateID(n.d, r)})
	}
	return out
}

// chainChanges is how many changes of the plan a chain begins with.
const chainChanges = 2

// chain leads from what the apply did to what gates saw of it: changes that the gate of the cause names, or one that
// says no to the same thing does, and then these gates. Of a gate that stands alone it has the evidence.
func (n noes) chain(cause upgrade.Cause, groups []planGroup) []link {
	own := slices.IndexFunc(n.all, func(one no) bool { return one.result.Gate == cause.Gate && !n.d.back.has(one.result) })
	if own < 0 {
		return []link{n.evidence(cause)}
	}
	alike := func(i int) bool {
		return i == own || slices.ContainsFunc(n.all[i].result.Evidence.About, func(what string) bool {
			return slices.Contains(n.all[own].result.Evidence.About, what)
		})
	}
	var changes, gates []link
	for i, one := range n.all {
		if alike(i) {
			gates = append(gates, link{Text: kindTitle(one.result.Kind) + " failed", Href: "#" + gateID(n.d, one.result)})
		}
	}
	for _, g := range groups {
		for _, line := range g.Lines {
			if len(changes) < chainChanges && line.ID != "" && slices.ContainsFunc(n.naming(line.Address), alike) {
				changes = append(changes, link{Text: resourceTitle(line.Address) + " " + g.Done, Href: "#" + line.ID})
			}
		}
	}
	if len(changes) == 0 && len(gates) == 1 {
		return []link{n.evidence(cause)}
	}
	return append(changes, gates...)
}

// evidence leads to what the gate of a cause saw.
func (n noes) evidence(cause upgrade.Cause) link {
	return link{Text: "See the evidence", Href: "#" + anchor(n.d, cause.Gate)}
}

// resourceTitle is the type of a resource in words, by its address.
func resourceTitle(address string) string {
	var parts []string
	begin, depth := 0, 0
	for i, c := range address {
		switch {
		case c == '[':
			depth++
		case c == ']':
			depth--
		case c == '.' && depth == 0:
			parts, begin = append(parts, address[begin:i]), i+1
		}
	}
	if len(parts) == 0 {
		return address
	}
	return typeTitle(parts[len(parts)-1])
}
