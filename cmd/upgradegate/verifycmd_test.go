package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

// TestVerifyCommand holds the exit codes and words of `verify` against a scripted service: 0 open, 3
// closed, 1 could not ask, 2 wrong usage.
func TestVerifyCommand(t *testing.T) {
	t.Parallel()
	const (
		commit = "8f2c1ab04d5e6f708192a3b4c5d6e7f8091a2b3c"
		told   = `{"id":"ABCDEFGHIJKLMNOPQRSTUVWXYZ","state":%q,"told":%d,"sentence":%q,"commit":"` + commit + `","project":"a/b","run_url":"https://gate.example.org/runs/7"}`
	)
	open, closed := fmt.Sprintf(told, "open", 2, "Ready for production."), fmt.Sprintf(told, "closed", 2, "Not ready for production.")
	waiting := fmt.Sprintf(told, "waiting", 1, "Checking staging.")
	for _, test := range []struct {
		name    string
		args    []string
		env     []string // besides the address and a token
		replies []string // each 200, or 401 where it has a code
		code    int
		out     string
		err     string
	}{
		{"open", nil, nil, []string{open}, exitOK, `Ready for production\.\n`, `upgradegate: commit 8f2c1ab of a/b may go to production\n`},
		{"open_for_this_commit", []string{commit}, nil, []string{open}, exitOK, `Ready for production\.\n`, `.*`},
		{
			"closed", nil, nil,
			[]string{waiting, closed},
			exitClosed, `Not ready for production\.\n`,
			`upgradegate: Checking staging\.\nupgradegate: commit 8f2c1ab of a/b may not go to production\nupgradegate: hint: see https://gate\.example\.org/runs/7\n`,
		},
		{"json", []string{"--json"}, nil, []string{closed}, exitClosed, `\{"id":"ABC.*"state":"closed".*\}\n`, `.*may not go.*`},
		{"another_variable", []string{"--token-env", "MY_TOKEN"}, []string{"MY_TOKEN=x", "GATE_ID_TOKEN="}, []string{open}, exitOK, `.*`, `.*`},
		{"no_token", nil, []string{"GATE_ID_TOKEN="}, nil, exitError, "", `upgradegate: GATE_ID_TOKEN holds no ID token\nupgradegate: hint: give the job id_tokens: \{GATE_ID_TOKEN: \{aud: http://127.*\n`},
		{
			"bad_token", nil, nil,
			[]string{`{"code":"unauthorized","detail":"the ID token was not signed by GitLab"}`},
			exitError, "",
			`upgradegate: the ID token was not signed by GitLab\nupgradegate: hint: give the job id_tokens: .*\n`,
		},
		{
			"bad_audience", nil, nil,
			[]string{`{"code":"unauthorized","detail":"the ID token was made for another service","hint":"set aud: x"}`},
			exitError, "",
			`upgradegate: the ID token was made for another service\nupgradegate: hint: set aud: x\n`,
		},
		{"used_token", nil, nil, []string{`{"code":"conflict","detail":"this ID token was used before"}`}, exitError, "", `upgradegate: this ID token was used before\n`},
		{
			"late",
			[]string{"--timeout", "100ms"},
			nil,
			[]string{waiting},
			exitError, "",
			`upgradegate: Checking staging\.\nupgradegate: wait for the answer: no answer within 100ms\nupgradegate: hint: .*--timeout\n`,
		},
		{
			"nobody_there",
			[]string{"--server", "http://127.0.0.1:1", "--patience", "1ms"},
			nil, nil, exitError, "",
			`upgradegate: 127\.0\.0\.1:1 does not answer; trying again for up to 1ms\nupgradegate: 127\.0\.0\.1:1 does not answer: .*\nupgradegate: hint: .*\n`,
		},
		{"no_server", nil, []string{"UPGRADEGATE_URL="}, nil, exitUsage, "", `upgradegate: the address of the service is missing\nupgradegate: hint: .*UPGRADEGATE_URL.*\n`},
		{"odd_server", []string{"--server", "gate"}, nil, nil, exitUsage, "", `upgradegate: "gate" is not the address of a service\n.*`},
		{"odd_commit", []string{"8f2c1ab"}, nil, nil, exitUsage, "", `upgradegate: "8f2c1ab" is not a commit\nupgradegate: hint: .*\n`},
		{"two_commits", []string{commit, commit}, nil, nil, exitUsage, "", `upgradegate: .*takes one commit, got 2 arguments\n`},
		{"no_time", []string{"--timeout", "0s"}, nil, nil, exitUsage, "", `upgradegate: --timeout and --patience must be more than 0\n`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var n atomic.Int64
			service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if len(test.replies) == 0 {
					t.Error("the service was asked")
					return
				}
				body := test.replies[min(int(n.Add(1)), len(test.replies))-1]
				if body[:3] != `{"i` {
					w.WriteHeader(http.StatusUnauthorized)
				}
				_, _ = fmt.Fprint(w, body)
			}))
			defer service.Close()
			env := append([]string{"UPGRADEGATE_URL=" + service.URL, "GATE_ID_TOKEN=token-of-a-job"}, test.env...)
			cli(t, env, append([]string{"verify"}, test.args...)...).is(t, test.code, test.out, test.err)
		})
	}
}
