package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/client"
	"github.com/upgradegate/upgradegate/integration/aws/awsprovider"
	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	"github.com/upgradegate/upgradegate/integration/gitlab/gitlabsim"
	"github.com/upgradegate/upgradegate/upgrade"
)

// What a run may cost beyond Terraform and its slowest gate.
const (
	mostOverhead      = 3 * time.Second
	mostOverheadShare = 0.10
)

// terraformSecret is the key with which Terraform signs what it asks the simulated AWS.
const terraformSecret = awssim.DefaultSecret

// TestRun measures a whole run, from the push to the verdict, beside the same Terraform commands by hand.
func TestRun(t *testing.T) {
	measure(t, "A run from push to unlocked, beside the same Terraform by hand")
	compare(t, buildWorld(t, 0))
}

// TestSlowerRun is TestRun with an apply that waits as real ones do, to tell whether the overhead grows.
func TestSlowerRun(t *testing.T) {
	const slower = 3 * time.Second
	measure(t, "The same with an apply that takes "+slower.String()+" more")
	compare(t, buildWorld(t, slower))
}

func compare(t *testing.T, w *world) {
	t.Helper()
	var ours, byHand, over []time.Duration
	steps := map[string][]time.Duration{}
	for round := range *rounds + 1 {
		files := w.files(t, "bench", 5+round)
		run, phases := w.run(t, files)
		commands := w.byHand(t, w.files(t, "hand", 5+round))
		if round == 0 { // the first warms up
			continue
		}
		hand := run.gate
		for name, took := range commands {
			hand += took
			steps["by hand: "+name] = append(steps["by hand: "+name], took)
		}
		for name, took := range phases {
			steps["run: "+name] = append(steps["run: "+name], took)
		}
		ours, byHand, over = append(ours, run.took), append(byHand, hand), append(over, run.took-hand)
	}
	overhead := median(over)
	share := float64(overhead) / float64(median(byHand))
	table(t, "|median|", [][]string{
		{"by hand (init, plan, show, apply) and the slowest gate", ms(median(byHand)), "1"},
		{"the run, from push to unlocked", ms(median(ours)), fmt.Sprintf("%.3f", float64(median(ours))/float64(median(byHand)))},
		{"overhead", ms(overhead), fmt.Sprintf("%+.1f %%", 100*share)},
		{"goal: at most " + ms(mostOverhead), met(overhead <= mostOverhead), ""},
		{fmt.Sprintf("goal: at most %.0f %%", 100*mostOverheadShare), "", met(share <= mostOverheadShare)},
	})
	var rows [][]string
	for name, took := range steps {
		rows = append(rows, []string{name, ms(median(took))})
	}
	slices.SortFunc(rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	fmt.Println()
	table(t, "where the time goes|median", rows)
	fmt.Printf("\nMedians of %d interleaved rounds.\n", *rounds)
}

// world is a GitLab with the demo's stack, the AWS that it is about, and the service.
type world struct {
	dir      string
	slower   time.Duration // an apply takes so much longer than the demo's
	cli      string
	provider string
	gitlab   *gitlabsim.Server
	project  gitlabsim.Project
	priya    gitlabsim.User
	aws      string // address
	network  awssim.Network
	lock     string // the provider lock file
	gate     *program
	client   *client.Client
}

func buildWorld(t *testing.T, slower time.Duration) *world {
	t.Helper()
	w := &world{dir: t.TempDir(), slower: slower}
	sim, err := awssim.New(awssim.Config{Clock: upgrade.SystemClock{}, Region: "eu-west-2"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(func() { cancel(); sim.Wait() })
	addr, err := sim.Start(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sim.AddImage(awssim.Image{Name: "web"})
	w.aws, w.network = "http://"+addr, sim.Network("", "eu-west-2")
	w.installProvider(t)
	w.lock = w.firstApply(t, "hand")
	w.firstApply(t, "bench")
	g := w.buildGitLab(t)
	w.gate = g.serve(t, w.dir)
	w.client, err = client.New(client.Config{URL: "http://" + w.gate.addr, Token: personToken, HTTP: http.DefaultClient})
	if err != nil {
		t.Fatal(err)
	}
	hook := gitlabsim.Hook{URL: "http://" + w.gate.addr + "/webhooks/gitlab", Token: hookToken, SigningToken: signingToken}
	if _, err := w.gitlab.AddHook(w.project.ID, hook); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) installProvider(t *testing.T) {
	t.Helper()
	var err error
	if w.provider, err = awsprovider.Version(*binary); err != nil {
		t.Fatal(err)
	}
	mirror := filepath.Join(w.dir, "mirror")
	if err := awsprovider.Install(*binary, mirror, w.provider); err != nil {
		t.Fatal(err)
	}
	w.cli = filepath.Join(w.dir, "terraform.rc")
	if err := os.WriteFile(w.cli, []byte(awsprovider.CLIConfig(mirror)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (w *world) buildGitLab(t *testing.T) gate {
	t.Helper()
	w.gitlab = simulateGitLab(t, w.dir)
	bot := w.gitlab.AddUser(gitlabsim.User{Username: "upgradegate", Bot: true})
	w.priya = w.gitlab.AddUser(gitlabsim.User{Username: "priya"})
	var err error
	w.project, err = w.gitlab.AddProject(t.Context(), gitlabsim.ProjectSpec{
		Path: "platform/bench", Files: w.files(t, "bench", 4), Message: "As it is", Author: w.priya.ID, Branches: []string{"staging"},
		Members: map[int64]gitlabsim.Access{bot.ID: gitlabsim.Maintainer, w.priya.ID: gitlabsim.Maintainer},
		Protected: []gitlabsim.ProtectedBranch{
			{Name: "main", Push: gitlabsim.Maintainer, Merge: gitlabsim.Maintainer},
			{Name: "staging", Push: gitlabsim.Developer, Merge: gitlabsim.Developer},
		},
		Environments: []gitlabsim.ProtectedEnvironment{{Name: "upgrade-gate", Users: []int64{bot.ID}}},
		CI:           gitlabsim.ProductionCI("main", "upgrade-gate", 0),
	})
	if err != nil {
		t.Fatal(err)
	}
	stack := fmt.Sprintf(`project: platform/bench
    staging: {backend_config: {path: %q}, env: {AWS_ACCESS_KEY_ID: %q, AWS_SECRET_ACCESS_KEY: {env: BENCH_SECRET}, AWS_ENDPOINT_URL: %q}}`,
		w.state("bench"), awssim.DefaultKeyID, w.aws)
	return gate{gitlab: w.gitlab, bot: bot.Token, stack: stack, cli: fmt.Sprintf(", cli_config: %q", w.cli)}
}

// files returns the demo's stack, by path.
func (w *world) files(t *testing.T, stack string, size int) map[string]string {
	t.Helper()
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join("..", "demo", "stack", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	fill := strings.NewReplacer(
		"ABOUT", "Admits the load balancer to Varnish", "  TAGS\n", "",
		"PROVIDER_VERSION", w.provider, "STACK", stack, "VPC", w.network.VPC, "SUBNETS", fmt.Sprintf("%q", w.network.Subnets[0]),
		"LB_CIDR", "10.0.0.0/24", "PORT", "80", "IMAGE", "web", "MAX_SIZE", fmt.Sprint(size),
	)
	files := map[string]string{
		"main.tf":   fill.Replace(strings.Replace(read("main.tf"), "RULE\n", read("rule.tf"), 1)),
		"locals.tf": fill.Replace(read("locals.tf")),
	}
	if w.slower > 0 {
		files["slower.tf"] = fmt.Sprintf("resource \"terraform_data\" \"slower\" {\n  triggers_replace = %d\n"+
			"  provisioner \"local-exec\" {\n    command = \"sleep %g\"\n  }\n}\n", size, w.slower.Seconds())
	}
	if w.lock != "" {
		files[".terraform.lock.hcl"] = w.lock
	}
	return files
}

func (w *world) state(stack string) string { return filepath.Join(w.dir, stack+".tfstate") }

// checkout writes the files into a new folder, as a person's or a pipeline's checkout has them.
func (w *world) checkout(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// firstApply makes what the stack describes, and returns the provider lock file.
func (w *world) firstApply(t *testing.T, stack string) string {
	t.Helper()
	dir := w.checkout(t, w.files(t, stack, 4))
	w.terraform(t, dir, "init", "-input=false", "-backend-config=path="+w.state(stack))
	w.terraform(t, dir, "apply", "-input=false", "-auto-approve")
	lock, err := os.ReadFile(filepath.Join(dir, ".terraform.lock.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	return string(lock)
}

// byHand runs the commands that a run runs, as a pipeline would, and returns how long each took.
func (w *world) byHand(t *testing.T, files map[string]string) map[string]time.Duration {
	t.Helper()
	dir := w.checkout(t, files)
	return map[string]time.Duration{
		"1 init":  w.terraform(t, dir, "init", "-input=false", "-backend-config=path="+w.state("hand")),
		"2 plan":  w.terraform(t, dir, "plan", "-input=false", "-out=plan.tfplan"),
		"3 show":  w.terraform(t, dir, "show", "-json", "plan.tfplan"),
		"4 apply": w.terraform(t, dir, "apply", "-input=false", "plan.tfplan"),
	}
}

func (w *world) terraform(t *testing.T, dir string, args ...string) time.Duration {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), *terraform, args...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir, "TMPDIR=" + w.dir, "TF_CLI_CONFIG_FILE=" + w.cli, "TF_IN_AUTOMATION=1",
		"AWS_ACCESS_KEY_ID=" + awssim.DefaultKeyID, "AWS_SECRET_ACCESS_KEY=" + terraformSecret, "AWS_ENDPOINT_URL=" + w.aws,
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	began := time.Now()
	if err := cmd.Run(); err != nil {
		t.Fatalf("terraform %s: %v\n%s", args[0], err, out.Bytes())
	}
	return time.Since(began)
}

// measured is what came of a run.
type measured struct {
	took time.Duration // from the push to the verdict
	gate time.Duration // the slowest
}

// run pushes the files and waits for the verdict; then it brings the change to production, so that the next
// run finds an open road. It returns how long the run was in each phase.
func (w *world) run(t *testing.T, files map[string]string) (m measured, phases map[string]time.Duration) {
	t.Helper()
	began := time.Now()
	commit, err := w.gitlab.Commit(t.Context(), w.project.ID, gitlabsim.CommitSpec{
		Branch: "staging", Message: "More servers", Files: files, Author: w.priya.ID,
	})
	if err != nil {
		t.Fatal(err)
	}
	pushed := time.Since(began)
	run := w.until(t, commit, upgrade.PhaseUnlocked)
	m.took = run.Since.Sub(began)
	answers, err := w.client.Gates(t.Context(), run.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, answer := range answers {
		m.gate = max(m.gate, time.Duration(answer.Took*float64(time.Second)))
	}
	phases = w.phases(t, run.ID, began)
	phases["0 the push itself"] = pushed
	w.promote(t, commit)
	return m, phases
}

// until waits for the commit's run to be in the phase.
func (w *world) until(t *testing.T, commit upgrade.Commit, phase upgrade.Phase) (run client.Run) {
	t.Helper()
	await(t, "the run to be "+string(phase), func() bool {
		runs, err := w.client.Runs(t.Context(), "bench", 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(runs) == 0 || runs[0].Commit != commit {
			return false
		}
		run = runs[0]
		if run.Phase == upgrade.PhaseBlocked || run.Phase.Final() && run.Phase != phase {
			t.Fatalf("the run is %s: %+v", run.Phase, run.Causes)
		}
		return run.Phase == phase
	})
	return run
}

// phases reads from the journal how long the run was in each phase; the first counts from the push.
func (w *world) phases(t *testing.T, run upgrade.RunID, pushed time.Time) map[string]time.Duration {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://%s/api/v1/runs/%d/events?limit=100", w.gate.addr, run), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+personToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("the journal: %s", resp.Status)
	}
	var page struct {
		Items []struct {
			At   time.Time
			Kind upgrade.EventKind
			Data map[string]string
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil {
		t.Fatal(err)
	}
	took, last, from := map[string]time.Duration{}, pushed, "push and intake"
	for _, event := range page.Items {
		if event.Kind == upgrade.EventPhase {
			took[fmt.Sprintf("%d %s", len(took)+1, from)] += event.At.Sub(last)
			last, from = event.At, event.Data["to"]
		}
	}
	return took
}

// promote brings the commit to production: the service plays the held job, a person the deployment.
func (w *world) promote(t *testing.T, commit upgrade.Commit) {
	t.Helper()
	if err := w.gitlab.SetBranch(t.Context(), w.project.ID, "main", commit, w.priya.ID); err != nil {
		t.Fatal(err)
	}
	await(t, "the deployment to be open", func() bool {
		for _, pipeline := range w.gitlab.Pipelines(w.project.ID) {
			if pipeline.Commit != commit || pipeline.Ref != "main" {
				continue
			}
			for _, job := range w.gitlab.Jobs(pipeline.ID) {
				if job.Name == "deploy-production" && job.Status == "manual" {
					return w.gitlab.Play(job.ID, w.priya.ID) == nil
				}
			}
		}
		return false
	})
	w.until(t, commit, upgrade.PhasePromoted)
}
