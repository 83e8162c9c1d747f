package server

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// nb is the space between a number and its unit: a line never breaks there.
const nb = "\u00a0"

// words puts times into words as dashboard.md §7 wants them: relative to now, in the zone of pages.
type words struct {
	now  time.Time
	zone *time.Location
}

// when is a point in time as pages show it: text for people, the exact time for machines.
type when struct {
	Text  string
	Exact string // RFC 3339
	Age   bool   // the text is an age, which a script keeps true
	Left  bool   // the text is how long it is until then, which a script keeps true
	Run   bool   // the text is how long it goes on since then, which a script keeps true
}

// stamp returns a point in time: the clock today, the weekday within a week, else the date.
func (w words) stamp(t time.Time) when { return w.clock(t, "15:04") }

// second is stamp with seconds, for what happens inside a run.
func (w words) second(t time.Time) when { return w.clock(t, "15:04:05") }

func (w words) clock(t time.Time, layout string) when {
	if t.IsZero() {
		return when{}
	}
	local, today := t.In(w.zone), w.now.In(w.zone)
	out := when{Exact: t.UTC().Format(time.RFC3339)}
	days := daysBetween(local, today)
	switch {
	case days == 0:
		out.Text = local.Format(layout)
	case days > 0 && days < 7:
		out.Text = local.Format("Mon " + layout)
	default:
		out.Text = local.Format("2" + nb + "Jan 2006")
	}
	return out
}

func daysBetween(a, b time.Time) int {
	day := func(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC) }
	return int(day(b).Sub(day(a)).Hours() / 24)
}

// ago returns how long ago t was, up to two hours; then the point in time.
func (w words) ago(t time.Time) when {
	if t.IsZero() {
		return when{}
	}
	d := w.now.Sub(t)
	if d >= 2*time.Hour {
		return w.stamp(t)
	}
	out := when{Exact: t.UTC().Format(time.RFC3339), Age: true}
	switch {
	case d < 5*time.Second:
		out.Text = "just now"
	case d < time.Minute:
		out.Text = fmt.Sprintf("%d%ss ago", int(d.Seconds()), nb)
	default:
		out.Text = fmt.Sprintf("%d%smin ago", int(d.Minutes()), nb)
	}
	return out
}

// span returns a length of time: tenths below ten seconds, two units above a minute.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0" + nb + "s"
	case d < 100*time.Millisecond:
		return fmt.Sprintf("%d%sms", d.Milliseconds(), nb)
	case d < 10*time.Second:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", d.Seconds()), ".0") + nb + "s"
	case d < time.Minute:
		return fmt.Sprintf("%d%ss", int(d.Seconds()), nb)
	case d < time.Hour:
		return two(int(d.Minutes()), "min", int(d.Seconds())%60, "s")
	case d < 48*time.Hour:
		return two(int(d.Hours()), "h", int(d.Minutes())%60, "min")
	}
	return two(int(d.Hours())/24, "d", int(d.Hours())%24, "h")
}

func two(a int, unitA string, b int, unitB string) string {
	if b == 0 {
		return fmt.Sprintf("%d%s%s", a, nb, unitA)
	}
	return fmt.Sprintf("%d%s%s %d%s%s", a, nb, unitA, b, nb, unitB)
}

// number returns n as a word up to twelve, as sentences want it.
func number(n int) string {
	small := []string{"no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"}
	if n >= 0 && n < len(small) {
		return small[n]
	}
	return fmt.Sprint(n)
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1" + nb + noun
	}
	return fmt.Sprintf("%d%s%ss", n, nb, noun)
}

// upperFirst begins a sentence. An address stays as it is written.
func upperFirst(s string) string {
	if s == "" || strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://") {
		return s
	}
	r := []rune(s)
	return strings.ToUpper(string(r[0])) + string(r[1:])
}

// kindTitle is what a kind of gate is called on pages.
func kindTitle(kind string) string {
	switch kind {
	case "destroy-guard":
		return "Destroy guard"
	case "ownership":
		return "Ownership"
	case "availability":
		return "Availability"
	case "settled":
		return "Settled"
	case "kms-grants":
		return "KMS grants"
	case "instance-launch":
		return "Instance launch"
	case "varnish":
		return "Varnish reachability"
	case "http":
		return "HTTP"
	case "command":
		return "Command"
	}
	return upperFirst(kind)
}

func stageTitle(s upgrade.Stage) string {
	switch s {
	case upgrade.StagePlan:
		return "of the plan"
	case upgrade.StageBefore:
		return "before the apply"
	case upgrade.StageDuring:
		return "during the apply"
	case upgrade.StageAfter:
		return "after the apply"
	case upgrade.StageStanding:
		return "standing"
	}
	return ""
}

// fateLook is how the fate of a delivery is shown.
func fateLook(f upgrade.Fate) upgrade.Look {
	switch f {
	case upgrade.FatePending:
		return upgrade.Look{Word: "Waiting", Icon: upgrade.IconWait, Tone: upgrade.ToneIdle}
	case upgrade.FateStarted:
		return upgrade.Look{Word: "Started", Icon: upgrade.IconOK, Tone: upgrade.ToneOK}
	case upgrade.FateJoined:
		return upgrade.Look{Word: "Joined", Icon: upgrade.IconOK, Tone: upgrade.ToneRun}
	case upgrade.FateRefused:
		return upgrade.Look{Word: "Refused", Icon: upgrade.IconLock, Tone: upgrade.ToneWarn}
	case upgrade.FateIgnored:
		return upgrade.Look{Word: "Ignored", Icon: upgrade.IconSkip, Tone: upgrade.ToneIdle}
	}
	return upgrade.Look{Word: string(f), Icon: upgrade.IconUnk, Tone: upgrade.ToneWarn}
}

// roleTitle is what a role is called on pages.
func roleTitle(r upgrade.Role) string { return strings.ReplaceAll(string(r), "_", " ") }

// glued keeps numbers and their units in one line.
func glued(s string) string {
	words := strings.Split(s, " ")
	for i := 1; i < len(words); i++ {
		before := words[i-1]
		number := before != "" && before[len(before)-1] >= '0' && before[len(before)-1] <= '9'
		if unit := strings.TrimRight(words[i], ".,;:)"); number && slices.Contains([]string{"ms", "s", "min", "h", "d", "%"}, unit) {
			words[i] = nb + words[i]
		} else {
			words[i] = " " + words[i]
		}
	}
	return strings.Join(words, "")
}
