package gates_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// said is a script that ended well with an output.
func said(stdout string) func(int) cloud.Command {
	return func(int) cloud.Command { return cloud.Command{Status: "Success", Stdout: stdout} }
}

// ladders is what `upgradegate probe --order` prints.
func ladders(rungs ...probe.Rung) string {
	data, err := json.Marshal(map[string]any{"state": "ended", "ladders": []probe.Ladder{{
		URL: "https://site.test/", Address: netip.MustParseAddrPort("10.20.0.5:443"), Rungs: rungs, Status: 200,
	}}})
	if err != nil {
		panic(err)
	}
	return "upgradegate\n" + string(data) + "\n"
}

const curlGood = "curl\n0 yes 200 10.20.0.5 443 0.001 0.002 0.005 0.010 0.012\n\n--\nHTTP/1.1 200 OK\r\nX-Varnish: 7\r\n\r\n"

// TestS5LaunchProbe: an instance that does not reach the site is not healthy, whatever else it is; what cannot be
// told is no pass.
func TestS5LaunchProbe(t *testing.T) {
	whole := ladders(probe.Rung{Layer: probe.LayerTCP, State: probe.RungOK, Class: probe.ClassOK})
	refused := ladders(probe.Rung{Layer: probe.LayerTCP, State: probe.RungBroken, Class: probe.ClassTCPRefused, Detail: "TCP 443 is refused: nothing listens there, or a firewall rejects"})
	online := func(f *fakeCloud) { f.online = true }
	tests := []struct {
		name   string
		answer func(int) cloud.Command
		set    func(*fakeCloud)
		want   upgrade.Outcome
		says   string
		sent   int
	}{
		{"whole", said(whole), online, upgrade.OutcomePassed, "healthy after", 1},
		{"by_curl", said(curlGood), online, upgrade.OutcomePassed, "healthy after", 1},
		{"broken", said(refused), online, upgrade.OutcomeFailed, "the test instance i-1 cannot reach the site as it should: TCP 443 is refused", 3},
		{"broken_at_first", func(n int) cloud.Command {
			if n == 1 {
				return said(refused)(n)
			}
			return said(whole)(n)
		}, online, upgrade.OutcomePassed, "healthy after", 2},
		{"not_online", said(whole), func(*fakeCloud) {}, upgrade.OutcomeFailed, "i-1 waits until it answers AWS Systems Manager, through which", 0},
		{"never_ends", nil, online, upgrade.OutcomeFailed, "i-1 waits until the probe of https://site.test/ on it has ended", 1},
		{"not_delivered", func(int) cloud.Command { return cloud.Command{Status: "TimedOut", Details: "DeliveryTimedOut"} }, online, upgrade.OutcomeUnknown, "ended as TimedOut (DeliveryTimedOut)", -1},
		{"cut_off", said(whole[:len(whole)/2]), online, upgrade.OutcomeUnknown, "24,000 characters", -1},
		{"neither", said("neither\n"), online, upgrade.OutcomeUnknown, "neither upgradegate nor curl", 1},
		{"may_not", said(whole), func(f *fakeCloud) { f.online = true; f.deny = "ssm:SendCommand" }, upgrade.OutcomeUnknown, "ssm:SendCommand", 1},
		{"curl_refused", said("curl\n7 no 000   0.001 0.000 0.000 0.000 0.003\ncurl: (7) Failed to connect: Connection refused\n--\n"), online, upgrade.OutcomeFailed, "TCP to site.test is refused there", 3},
		{"curl_dropped", said("curl\n28 no 000   0.001 0.000 0.000 0.000 3.000\ncurl: (28) Connection timed out\n--\n"), online, upgrade.OutcomeFailed, "a security group, a network ACL or a route drops packets", 3},
		{"curl_not_varnish", said(strings.Replace(curlGood, "X-Varnish: 7", "Server: nginx", 1)), online, upgrade.OutcomeFailed, "did not come through Varnish", 3},
		{"curl_status", said(strings.Replace(curlGood, " 200 10.", " 503 10.", 1)), online, upgrade.OutcomeFailed, "the answer is 503 there, expected 200", 3},
		{"curl_marker", said(strings.Replace(curlGood, "yes", "no", 1)), online, upgrade.OutcomeFailed, `the page lacks "marker" there`, 3},
		{"curl_unheard_of", said("curl\n99 no 000   0 0 0 0 0\nno idea\n--\n"), online, upgrade.OutcomeUnknown, "curl ended with 99", -1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := probe.Path{
				URL: "https://site.test/", ViaVarnish: true, Expect: probe.Expect{Status: []int{200}, BodyContains: "marker"},
				Bypass: probe.Bypass{Header: "X-Bypass", Value: "s3cr3t-of-the-bypass", Cookie: "pass=s3cr3t-cookie"},
			}
			got, aws := launchAs(t, gates.LaunchSettings{Probe: []probe.Path{path}, Reach: []string{"10.20.0.0/16:443"}}, nil, gates.Input{}, func(f *fakeCloud) { test.set(f); f.answer = test.answer })
			if got.Outcome != test.want || !strings.Contains(got.Message, test.says) {
				t.Errorf("got %s %q, want %s that says %q", got.Outcome, got.Message, test.want, test.says)
			}
			if test.sent >= 0 && len(aws.scripts) != test.sent {
				t.Errorf("%d scripts were sent, want %d", len(aws.scripts), test.sent)
			}
			for _, script := range aws.scripts {
				noSecret(t, script)
			}
			for name, trial := range aws.trials {
				if !trial.ended {
					t.Errorf("%s was left behind", name)
				}
			}
		})
	}
}

// noSecret looks into a script, and into what it holds in base64: whoever may list commands reads it.
func noSecret(t *testing.T, script string) {
	t.Helper()
	texts := []string{script}
	for _, word := range regexp.MustCompile(`[A-Za-z0-9+/=]{20,}`).FindAllString(script, -1) {
		if data, err := base64.StdEncoding.DecodeString(word); err == nil {
			texts = append(texts, string(data))
		}
	}
	if len(texts) < 2 {
		t.Error("the script holds no order")
	}
	for _, text := range texts {
		if strings.Contains(text, "s3cr3t") {
			t.Error("a secret is in the script")
		}
	}
}

// TestLaunchScript runs the script that is sent, with the curl of this machine, against pages of this machine.
func TestLaunchScript(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl on this machine")
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Varnish", "7")
		if r.URL.Path == "/broken" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = w.Write([]byte("it's a marker"))
	}))
	t.Cleanup(server.Close)
	tools := t.TempDir() // without upgradegate
	for _, name := range []string{"sh", "curl", "base64", "mktemp", "rm", "grep", "head", "cut"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Skip("no " + name)
		}
		if err := os.Symlink(path, filepath.Join(tools, name)); err != nil {
			t.Fatal(err)
		}
	}
	port := server.URL[strings.LastIndexByte(server.URL, ':')+1:]
	for name, test := range map[string]struct {
		path probe.Path
		want upgrade.Outcome
		says string
	}{
		"whole":   {probe.Path{URL: server.URL + "/?a=b'c", ViaVarnish: true, Expect: probe.Expect{BodyContains: "it's a marker"}}, upgrade.OutcomePassed, "healthy"},
		"named":   {probe.Path{URL: "http://www.site.test:" + port + "/", ViaVarnish: true, Resolve: map[string]string{"www.site.test": "127.0.0.1"}}, upgrade.OutcomePassed, "healthy"},
		"moved":   {probe.Path{URL: "http://www.site.test/", ViaVarnish: true, Resolve: map[string]string{"www.site.test": "127.0.0.1:" + port}}, upgrade.OutcomePassed, "healthy"},
		"broken":  {probe.Path{URL: server.URL + "/broken"}, upgrade.OutcomeFailed, "the answer is 503 there"},
		"marker":  {probe.Path{URL: server.URL, Expect: probe.Expect{BodyContains: "another"}}, upgrade.OutcomeFailed, `lacks "another"`},
		"refused": {probe.Path{URL: "http://127.0.0.1:1/"}, upgrade.OutcomeFailed, "takes no connection there: it is refused"},
		"unknown": {probe.Path{URL: "http://site.invalid/"}, upgrade.OutcomeFailed, "site.invalid"},
		"no_tls":  {probe.Path{URL: "https://127.0.0.1:" + port + "/"}, upgrade.OutcomeFailed, "TLS with"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, _ := launchAs(t, gates.LaunchSettings{Probe: []probe.Path{test.path}}, nil, gates.Input{}, func(f *fakeCloud) {
				f.online = true
				f.answer = func(n int) cloud.Command {
					cmd := exec.Command("sh", "-c", f.scripts[n-1])
					cmd.Env = []string{"PATH=" + tools}
					out, err := cmd.Output()
					if err != nil {
						return cloud.Command{Status: "Failed", Details: err.Error()}
					}
					return cloud.Command{Status: "Success", Stdout: string(out)}
				}
			})
			if got.Outcome != test.want || !strings.Contains(got.Message, test.says) {
				t.Errorf("got %s %q, want %s that says %q", got.Outcome, got.Message, test.want, test.says)
			}
		})
	}
}

// FuzzProbeAnswer: what an instance says is of a machine that nobody has vouched for yet.
func FuzzProbeAnswer(f *testing.F) {
	f.Add(curlGood)
	f.Add(ladders(probe.Rung{Layer: probe.LayerTCP, State: probe.RungOK}))
	f.Add("curl\n28 no 000   0.001 0.000 0.000 0.000 3.000\ncurl: (28) Connection timed out\n--\n")
	path := probe.Path{URL: "https://site.test/", ViaVarnish: true}
	f.Fuzz(func(t *testing.T, text string) {
		ladders, _, err := gates.ReadProbe(path, cloud.Command{Status: "Success", Stdout: text}, time.Unix(1, 0))
		if err != nil {
			return
		}
		if len(ladders) == 0 {
			t.Error("nothing was read, and no error")
		}
		for _, ladder := range ladders {
			if _, broken := ladder.Broken(); !broken && strings.HasPrefix(text, "curl") && !strings.HasPrefix(text, "curl\n0 ") && !strings.HasPrefix(text, "curl\n63 ") &&
				!regexp.MustCompile(`^curl[\s]*\n\s*[+]?0*(0|63) `).MatchString(text) {
				t.Errorf("%q is called whole", text)
			}
		}
	})
}
