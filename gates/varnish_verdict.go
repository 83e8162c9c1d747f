package gates

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// verdict judges what was seen: one broken rung anywhere is a no, and what could not be told is no pass.
func (c climbing) verdict(rec *Recorder, looks []look, cause string) error {
	var no []string
	brief := ""
	for _, group := range faultsOf(looks) {
		no = append(no, group.sentence(len(c.vantages) > 1))
		if brief == "" {
			brief = fmt.Sprintf("%s (%s: %s)", c.words.not, group.layer, strings.ToLower(brokenWord(group.class, group.status)))
		}
	}
	opened := openDoors(looks, len(c.vantages) > 1)
	if brief == "" && len(opened) > 0 {
		brief = "a port is open that must be closed"
	}
	no = append(no, opened...)
	blind := couldNotTell(looks)
	if len(no) == 0 {
		if blind != nil {
			return blind
		}
		c.passed(rec)
		return nil
	}
	if blind != nil {
		no = append(no, "besides, "+unsaid(blind))
	}
	means := meaning(looks)
	if means != "" {
		rec.Fact("Seen from", "%s", means)
	}
	if cause != "" {
		rec.Fact("Cause", "%s", cause)
		if !strings.Contains(strings.Join(no, ""), cause) {
			no = append(no, cause)
		}
	}
	failed := FailBrief(brief, "%s", strings.Join(no, "; "))
	if forced := forcedHint(looks); forced != "" {
		means = forced
	}
	if means != "" {
		return Advise(failed, "%s", means)
	}
	return failed
}

// unsaid says in passing why something could not be told.
func unsaid(err error) string {
	if text := upgrade.Public(err); text != "" {
		return text
	}
	return err.Error()
}

func (c climbing) passed(rec *Recorder) {
	from := ""
	if len(c.vantages) > 1 {
		from = ", from " + places(c.vantages)
	}
	if len(c.paths) == 1 {
		rec.Passed("%s %s%s", c.paths[0].URL, c.words.is, from)
		return
	}
	rec.Passed("all %d paths %s%s", len(c.paths), c.words.are, from)
}

// siteFault is a broken rung, as it was seen at some addresses from some places.
type siteFault struct {
	urls      []string
	layer     probe.Layer
	class     probe.Class
	status    int
	detail    string
	addresses []string
	of        int // addresses behind the name
	from      []probe.Vantage
}

// void reports whether a broken rung says nothing about the site: the probe itself was no good.
func void(rung probe.Rung) bool {
	return rung.Class == probe.ClassGuarded || rung.Class == probe.ClassBypassNotHonoured
}

// faultsOf groups what is broken, in the order in which it was seen.
func faultsOf(looks []look) []*siteFault {
	var list []*siteFault
	for _, one := range looks {
		for _, ladder := range one.ladders {
			rung, bad := ladder.Broken()
			if !bad || void(rung) {
				continue
			}
			same := func(f *siteFault) bool {
				return f.layer == rung.Layer && f.detail == rung.Detail && f.of == len(one.ladders)
			}
			i := slices.IndexFunc(list, same)
			if i < 0 {
				i = len(list)
				list = append(list, &siteFault{layer: rung.Layer, class: rung.Class, status: ladder.Status, detail: rung.Detail, of: len(one.ladders)})
			}
			f := list[i]
			if !slices.Contains(f.urls, ladder.URL) {
				f.urls = append(f.urls, ladder.URL)
			}
			if at := ladder.Address.Addr(); ladder.Address.IsValid() && !slices.Contains(f.addresses, at.String()) {
				f.addresses = append(f.addresses, at.String())
			}
			if !slices.Contains(f.from, one.from) {
				f.from = append(f.from, one.from)
			}
		}
	}
	return list
}

// sentence says a fault with where it is: at which of several addresses, and from which of several places.
func (f *siteFault) sentence(several bool) string {
	where := strings.Join(f.urls, " and ")
	if f.of > 1 {
		where += fmt.Sprintf(" at %s, %d of %d addresses behind the name", strings.Join(f.addresses, " and "), len(f.addresses), f.of)
	}
	if several {
		where += ", from " + places(f.from)
	}
	return fmt.Sprintf("%s (%s)", f.detail, where)
}

// places names vantages for people.
func places(list []probe.Vantage) string {
	words := make([]string, len(list))
	for i, one := range list {
		words[i] = placeName(one)
	}
	return strings.Join(words, " and ")
}

// placeName names one vantage for people.
func placeName(v probe.Vantage) string {
	if v == "" {
		return string(probe.Here)
	}
	return string(v)
}

// couldNotTell returns why something that was asked has no answer, nil if everything has one (S5): an
// address or door that the probe may not reach, a bypass that did not bypass, a backend that nobody
// asked, or a vantage that is gone.
func couldNotTell(looks []look) error {
	proven := map[probe.Vantage]bool{}
	for _, one := range looks {
		for _, ladder := range one.ladders {
			proven[one.from] = proven[one.from] || asked(ladder)
		}
	}
	for _, one := range looks {
		if one.err != nil {
			return blindFrom(one)
		}
		for _, ladder := range one.ladders {
			if err := unasked(ladder, proven[one.from]); err != nil {
				return err
			}
		}
	}
	return nil
}

// blindFrom says from where nobody could look, which the error itself need not know.
func blindFrom(one look) error {
	if e, ok := errors.AsType[*upgrade.Error](one.err); ok {
		return &upgrade.Error{
			Code: e.Code, Hint: upgrade.HintOf(one.err), Cause: one.err,
			Msg: fmt.Sprintf("%s could not be probed from %s: %s", one.path.URL, placeName(one.from), upgrade.Public(one.err)),
		}
	}
	return fmt.Errorf("probe %s from %s: %w", one.path.URL, placeName(one.from), one.err)
}

// asked reports whether a ladder proves the backend, or needs not.
func asked(ladder probe.Ladder) bool {
	backend := false
	for _, rung := range ladder.Rungs {
		if rung.Layer == probe.LayerHTTP {
			return true
		}
		backend = backend || rung.Layer == probe.LayerBackend && rung.State != probe.RungNotAsked
	}
	return backend
}

// unasked says what a ladder leaves open although nothing is broken. elsewhere: another path has proven
// the backend from the same place.
func unasked(ladder probe.Ladder, elsewhere bool) error {
	for _, rung := range ladder.Rungs {
		switch {
		case rung.Class == probe.ClassGuarded:
			return &upgrade.Error{
				Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("%s: %s", ladder.URL, rung.Detail),
				Hint: "add the address to network.allow, if it is really the site's",
			}
		case rung.Class == probe.ClassBypassNotHonoured:
			return &upgrade.Error{
				Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("%s: bypass not honoured: %s", ladder.URL, rung.Detail),
				Hint: "let the VCL pass requests that carry the bypass, or correct it in the file",
			}
		case rung.Layer == probe.LayerTCP && rung.State == probe.RungNotAsked:
			return nil // an IPv6 address, and no IPv6 here: its warning says so
		}
	}
	for _, knock := range ladder.Doors {
		if knock.State == probe.RungNotAsked {
			return &upgrade.Error{
				Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("whether TCP %d of %s is closed could not be tried: %s", knock.Address.Port(), knock.Address.Addr(), knock.Detail),
				Hint: "add the address with this port to network.allow",
			}
		}
	}
	if _, bad := ladder.Broken(); bad || asked(ladder) {
		return nil
	}
	byVCL := func(w probe.Warning) bool { return w.Class == probe.ClassHealthByVCL }
	if slices.ContainsFunc(ladder.Warnings, byVCL) {
		if elsewhere {
			return nil
		}
		return &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: ladder.URL + ": Varnish answered by itself, so nobody asked the backend",
			Hint: "probe a page of the site too",
		}
	}
	return &upgrade.Error{
		Code: upgrade.CodeInvalid, Msg: ladder.URL + ": the cache answered, so nobody asked the backend",
		Hint: "configure a bypass for the path, so that Varnish lets the probe through",
	}
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return strings.ToLower(u.Hostname())
}
