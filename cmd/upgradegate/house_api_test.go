package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"

	"github.com/upgradegate/upgradegate/client"
	"github.com/upgradegate/upgradegate/upgrade"
)

// api is the service's API, as hugo uses it from the command line.
func (h *house) api() *client.Client { h.Helper(); return h.apiOf(hugoToken) }

// apiOf is the service's API for whom the token is.
func (h *house) apiOf(token upgrade.Secret) *client.Client {
	h.Helper()
	c, err := client.New(client.Config{URL: h.url, Token: token, HTTP: &http.Client{}})
	check(h, err)
	return c
}

// act does something with a run as hugo.
func (h *house) act(run upgrade.RunID, act client.Act) {
	h.Helper()
	_, err := h.api().Do(h.Context(), run, act)
	check(h, err)
}

// runOf returns the newest run of the commit, over the API.
func (h *house) runOf(commit upgrade.Commit) (client.Run, string) { return h.runOn("", commit) }

// runOn returns the newest run of the commit on a stack.
func (h *house) runOn(stack upgrade.StackName, commit upgrade.Commit) (client.Run, string) {
	runs, err := h.api().Runs(h.Context(), stack, 50)
	if err != nil {
		return client.Run{}, err.Error()
	}
	for _, run := range runs {
		if run.Commit == commit {
			return run, ""
		}
	}
	return client.Run{}, fmt.Sprintf("there is no run of %s", commit.Short())
}

// runIs waits until the commit's newest run is in one of the phases.
func (h *house) runIs(commit upgrade.Commit, phases ...upgrade.Phase) client.Run {
	h.Helper()
	return h.runOnIs("", commit, phases...)
}

// runOnIs is runIs for one of several stacks.
func (h *house) runOnIs(stack upgrade.StackName, commit upgrade.Commit, phases ...upgrade.Phase) client.Run {
	h.Helper()
	var run client.Run
	h.until(func() (said string) {
		if run, said = h.runOn(stack, commit); said != "" {
			return said
		}
		if slices.Contains(phases, run.Phase) {
			return ""
		}
		if run.Phase.Final() {
			h.Fatalf("run %d is %s (%s), want one of %v", run.ID, run.Phase, run.Told.Headline, phases)
		}
		return fmt.Sprintf("run %d is %s (%s), want one of %v", run.ID, run.Phase, run.Told.Headline, phases)
	})
	return run
}

// get reads something of the service as hugo.
func (h *house) get(path string) (int, string) {
	h.Helper()
	return h.send(http.MethodGet, path, http.Header{"Authorization": {"Bearer " + hugoToken}}, nil)
}

func (h *house) send(method, path string, header http.Header, body io.Reader) (int, string) {
	h.Helper()
	req, err := http.NewRequestWithContext(h.Context(), method, h.url+path, body)
	check(h, err)
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	check(h, err)
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	check(h, err)
	return resp.StatusCode, string(data)
}

// pathOf escapes a query value.
func pathOf(format string, args ...any) string {
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			args[i] = url.PathEscape(text)
		}
	}
	return fmt.Sprintf(format, args...)
}
