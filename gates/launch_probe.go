package gates

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// TestInstance is the vantage that the instance of a trial is.
const TestInstance probe.Vantage = "test-instance"

const (
	probeTries  = 3                // of the paths from an instance that is healthy otherwise
	scriptLimit = 60 * time.Second // of one path
)

// probing is how far the probe from the test instance is.
type probing struct {
	commands []string // ids, one for each path; nil: not sent
	tries    int
	done     bool
	answers  []cloud.Command
}

// reaches looks whether the instance reaches the paths: image, template, security groups, subnet, DNS and Varnish
// together. It is asked when the instance is healthy in every other way, and before it is let into service.
func (w *watch) reaches(ctx context.Context, instance cloud.Instance) (wait string, err error) {
	if len(w.Probe) == 0 || w.probing.done {
		return "", nil
	}
	if w.probing.commands == nil {
		return w.sendProbes(ctx, instance)
	}
	for i := len(w.probing.answers); i < len(w.probing.commands); i++ {
		command, err := w.aws.Command(ctx, w.probing.commands[i], instance.ID)
		if err != nil {
			return "", fmt.Errorf("look what the probe on %s saw: %w", instance.ID, err)
		}
		if !command.Ended() {
			return "the probe of " + w.Probe[i].URL + " on it has ended", nil
		}
		w.probing.answers = append(w.probing.answers, command)
	}
	answers := w.probing.answers
	w.probing.commands, w.probing.answers = nil, nil
	w.probing.tries++
	return w.judgeProbes(instance, answers)
}

// sendProbes has Systems Manager run a script for each path.
func (w *watch) sendProbes(ctx context.Context, instance cloud.Instance) (wait string, err error) {
	online, err := w.aws.Ping(ctx, instance.ID)
	if err != nil {
		return "", fmt.Errorf("look whether %s answers Systems Manager: %w", instance.ID, err)
	}
	if !online {
		return "it answers AWS Systems Manager, through which it is told what to probe", nil
	}
	var ids []string
	for _, path := range w.Probe {
		script, err := probeScript(path, w.Reach)
		if err != nil {
			return "", err
		}
		id, err := w.aws.RunScript(ctx, instance.ID, script, scriptLimit)
		if err != nil {
			return "", fmt.Errorf("have %s probe %s: %w", instance.ID, path.URL, err)
		}
		ids = append(ids, id)
		w.rec.Logf("%s probes %s: command %s", instance.ID, path.URL, id)
	}
	w.probing.commands = ids
	return "the probe on it has ended", nil
}

// judgeProbes decides on what the instance saw of all paths.
func (w *watch) judgeProbes(instance cloud.Instance, answers []cloud.Command) (wait string, err error) {
	var all []look
	var broken []string
	for i, command := range answers {
		ladders, by, err := readProbe(w.Probe[i], command, w.clock.Now())
		if err != nil {
			return w.unclear(err)
		}
		w.fact("Probed by", "%s on %s", by, instance.ID)
		all = append(all, look{path: w.Probe[i], from: TestInstance, ladders: ladders, tries: w.probing.tries})
		for j := range ladders {
			ladder := &ladders[j]
			ladder.Vantage = TestInstance
			if rung, bad := ladder.Broken(); bad {
				broken = append(broken, fmt.Sprintf("%s (%s)", rung.Detail, ladder.URL))
			}
		}
	}
	recordLadders(w.rec, all, true)
	recordDNS(w.rec, all)
	switch {
	case len(broken) == 0:
		w.probing.done = true
		return "", nil
	case w.probing.tries < probeTries:
		w.rec.Logf("try %d of %d: %s", w.probing.tries, probeTries, strings.Join(broken, "; "))
		return "it reaches the site: " + broken[0], nil
	}
	return "", Advise(FailBrief(brief("%s's new instances cannot reach the site", w.env),
		"the test instance %s cannot reach the site as it should: %s", instance.ID, strings.Join(slices.Compact(broken), "; ")),
		"look at its security groups, subnet, routes and DNS: they come from the launch template and the group")
}

// unclear tries again while there are tries; then nobody can tell.
func (w *watch) unclear(err error) (wait string, _ error) {
	if upgrade.Transient(err) && w.probing.tries < probeTries {
		w.rec.Logf("try %d of %d: %v", w.probing.tries, probeTries, err)
		return "the probe on it says something", nil
	}
	return "", &upgrade.Error{Code: upgrade.CodeConflict, Msg: upgrade.Public(err), Hint: upgrade.HintOf(err), Cause: err}
}

// oneShot is what `upgradegate probe --order` reads.
type oneShot struct {
	Path  probe.Path `json:"path"`
	CA    []byte     `json:"ca,omitempty"`
	Allow []string   `json:"allow"`
}

// probeScript returns a shell script that probes a path once, by the product's own prober where the instance has
// it, else by curl. Whoever may list commands can read it, so it holds no secret: a bypass by header or cookie is
// left out.
func probeScript(path probe.Path, reach []string) (string, error) {
	path.Bypass = probe.Bypass{Query: path.Bypass.Query}
	order := oneShot{Path: path, Allow: reach}
	if path.CAFile != "" {
		pem, err := os.ReadFile(path.CAFile)
		if err != nil {
			return "", &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "the certificates in " + path.CAFile + " cannot be read", Cause: err}
		}
		order.CA, order.Path.CAFile = pem, ""
	}
	data, err := json.Marshal(order)
	if err != nil {
		return "", fmt.Errorf("write down what to probe: %w", err)
	}
	encode := base64.StdEncoding.EncodeToString
	args := []string{
		"-sS", "--noproxy '*'", "--proto =http,https", "--connect-timeout 3", "--max-time 20", "--max-filesize 1048576", "-A upgradegate-probe/1",
		`-o "$d/body"`, `-D "$d/head"`, "-w " + quoted(curlWords),
	}
	args = append(args, curlResolve(path)...)
	if len(order.CA) > 0 {
		args = append(args, `--cacert "$d/ca"`)
	}
	return strings.NewReplacer(
		"ORDER", encode(data), "AUTHORITY", encode(order.CA), "ARGS", strings.Join(args, " "), "URL", quoted(path.URL), "MARKER", quoted(path.Expect.BodyContains),
	).Replace(`set -u
if command -v upgradegate >/dev/null 2>&1 && answer=$(printf %s 'ORDER' | base64 -d | upgradegate probe --order); then
	echo upgradegate; printf '%s\n' "$answer"; exit 0
fi
if ! command -v curl >/dev/null 2>&1; then echo neither; exit 0; fi
d=$(mktemp -d) || exit 1
trap 'rm -rf "$d"' EXIT
printf %s 'AUTHORITY' | base64 -d > "$d/ca"
: > "$d/body"; : > "$d/head"
curl ARGS URL > "$d/words" 2> "$d/errors"
code=$?
found=no; grep -qF -- MARKER "$d/body" && found=yes
echo curl; echo "$code $found $(head -n 1 "$d/words")"
head -n 1 "$d/errors" | cut -c 1-300; echo --; head -c 8000 "$d/head"
`), nil
}
