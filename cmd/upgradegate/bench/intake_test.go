package bench

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/gitlab/gitlabsim"
)

// TestIntake measures how fast deliveries are taken, each on the disk before its 200, beside a handler that
// only answers 200.
func TestIntake(t *testing.T) {
	measure(t, "Webhook intake: signed deliveries of 2 KB over HTTP, in SQLite before the answer")
	dir := t.TempDir()
	gate, seeded := example(t, dir)
	bare := startBare(t, dir)
	body := delivery(t, seeded.Project)
	fmt.Printf("The disk has 4 KiB for good after %s. A body has %d bytes.\n\n", ms(diskWait(t, dir)), len(body))

	type cell struct{ bare, gate load }
	var rows [][]string
	behind := time.Duration(0)
	for _, connections := range []int{1, 16, 64} {
		var cells []cell
		for round := range *rounds + 1 {
			var c cell
			c.bare = press(t, bare.addr, connections, *each, func() []byte { return signed(t, bare.addr, body) })
			c.gate = press(t, gate.addr, connections, *each, func() []byte { return signed(t, gate.addr, body) })
			behind = max(behind, gate.rest(t))
			if round > 0 { // the first warms up
				cells = append(cells, c)
			}
		}
		of := func(value func(cell) float64) float64 {
			var values []float64
			for _, c := range cells {
				values = append(values, value(c))
			}
			return median(values)
		}
		wait := func(value func(cell) time.Duration) string {
			return ms(time.Duration(of(func(c cell) float64 { return float64(value(c)) })))
		}
		rows = append(
			rows,
			[]string{
				strconv.Itoa(connections), "bare", fmt.Sprintf("%.0f", of(func(c cell) float64 { return c.bare.perSecond })),
				wait(func(c cell) time.Duration { return c.bare.p50 }), wait(func(c cell) time.Duration { return c.bare.p99 }), "1",
			},
			[]string{
				"", "upgradegate", fmt.Sprintf("%.0f", of(func(c cell) float64 { return c.gate.perSecond })),
				wait(func(c cell) time.Duration { return c.gate.p50 }), wait(func(c cell) time.Duration { return c.gate.p99 }),
				fmt.Sprintf("%.3f", of(func(c cell) float64 { return c.gate.perSecond / c.bare.perSecond })),
			},
		)
	}
	table(t, "connections|server|requests/s|p50|p99|of bare", rows)
	fmt.Printf("\nMedians of %d rounds of %s each. After a load the service was busy with what came of it for at most %s more.\n", *rounds, *each, behind.Round(time.Millisecond))
}

// delivery returns the body of a push to a branch of the project that no stack watches.
func delivery(t *testing.T, project gitlabsim.Project) string {
	t.Helper()
	recorded, err := os.ReadFile(filepath.Join("..", "..", "..", "webhooks", "testdata", "push.json"))
	if err != nil {
		t.Fatal(err)
	}
	id := strconv.FormatInt(project.ID, 10)
	return strings.NewReplacer(
		"refs/heads/staging", "refs/heads/topic", `"project_id": 12`, `"project_id": `+id, `"id": 12`, `"id": `+id,
		"platform/ecs-master", project.Path,
		`"message": "Move the grants to aws-accounts\n"`, `"message": "Move the grants to aws-accounts\n`+strings.Repeat("Why it was done. ", 16)+`"`,
	).Replace(string(recorded))
}

// signed returns a request with a new delivery, as GitLab writes it.
func signed(t *testing.T, addr, body string) []byte {
	t.Helper()
	id, now := rand.Text(), strconv.FormatInt(time.Now().Unix(), 10)
	signature, err := gitlabsim.Sign(signingToken, id, now, []byte(body))
	if err != nil {
		t.Error(err)
	}
	return fmt.Appendf(nil, "POST /webhooks/gitlab HTTP/1.1\r\nHost: %s\r\nUser-Agent: GitLab/19.0\r\nContent-Type: application/json\r\n"+
		"X-Gitlab-Event: Push Hook\r\nX-Gitlab-Token: %s\r\nIdempotency-Key: %s\r\nwebhook-id: %s\r\nwebhook-timestamp: %s\r\n"+
		"webhook-signature: %s\r\nContent-Length: %d\r\n\r\n%s", addr, hookToken, id, id, now, signature, len(body), body)
}
