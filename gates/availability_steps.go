package gates

import (
	"context"
	"fmt"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// readMarks reads what Terraform did while the site was watched. That nobody could say it changes nothing of what
// the gate says about the site.
func (w *outageWatch) readMarks(ctx context.Context, rec *Recorder) {
	if w.marks == nil {
		return
	}
	marks, err := w.marks(context.WithoutCancel(ctx))
	if err != nil {
		rec.Warnf("what Terraform did meanwhile could not be read: %s", upgrade.Public(err))
		return
	}
	w.steps, w.known = marks, true
}

// recordSteps keeps what Terraform did.
func (w *outageWatch) recordSteps(rec *Recorder, s sight) {
	if !w.known {
		return
	}
	w.kept = keptMarks(w.steps, func(m upgrade.Mark) bool {
		for _, o := range s.outages {
			if len(w.within(o, m).steps) > 0 {
				return true
			}
		}
		return false
	})
	rec.Marks(w.kept)
	if step, ok := w.within(s.longest, w.steps...).only(); ok && len(s.charged()) > 0 {
		rec.About(step.Address)
	}
}

// within returns which of the steps were under way during an outage.
func (w *outageWatch) within(o located, steps ...upgrade.Mark) meanwhile {
	apart := clocksApart
	if o.feed != nil && o.vantage != probe.Here {
		apart = placesApart
	}
	return whileOut(w.began.Add(o.From), w.began.Add(o.To), o.Certain, apart, steps)
}

// told is the sentence about all outages, with what Terraform did during the longest.
func (w *outageWatch) told(s sight) string {
	text := w.sentence(s)
	if steps := w.within(s.longest, w.steps...).String(); len(s.charged()) > 0 && steps != "" {
		text += ", " + steps
	}
	return text
}

// whileWhat says for a headline during what the site was out: the one step that it overlaps, as far as there is
// room for it behind the text, else the apply.
func (w *outageWatch) whileWhat(text string, s sight) string {
	if step, ok := w.within(s.longest, w.steps...).only(); ok {
		done := " was " + participle(step.Action)
		if room := longestBrief - len([]rune(text+" while "+done)); room >= 12 {
			return fmt.Sprintf("%s while %s%s", text, shortAddress(step.Address, room), done)
		}
	}
	return text + " during the apply"
}

// no is the error that says no. What to do about it follows from the one step that it overlaps.
func (w *outageWatch) no(s sight) error {
	err := FailBrief(w.brief(s), "%s", w.told(s))
	if step, ok := w.within(s.longest, w.steps...).only(); ok {
		if todo := advice(step); todo != "" {
			return Advise(err, "%s", todo)
		}
	}
	return err
}
