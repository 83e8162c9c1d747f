package aws_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// testChain follows the subject's group to the keys of its volumes.
func testChain(t *testing.T, s subject) {
	t.Helper()
	ctx := t.Context()
	group, err := s.client.Group(ctx, s.group)
	if err != nil {
		t.Fatal(err)
	}
	version, err := s.client.Template(ctx, group.Template)
	if err != nil {
		t.Fatal(err)
	}
	if version.Template != group.Template || version.ImageID == "" {
		t.Errorf("template: %+v, want %+v", version, group.Template)
	}
	byName, err := s.client.Template(ctx, cloud.Template{Name: group.Template.Name, Version: group.Template.Version})
	if err != nil || byName.Template != version.Template {
		t.Errorf("by its name: %+v, %v", byName, err)
	}
	image, err := s.client.Image(ctx, version.ImageID)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(image.ID, "ami-") || image.State != "available" || image.Owner == "" || len(image.Devices) == 0 || image.Devices[0].Name == "" {
		t.Errorf("image: %+v", image)
	}
	def, err := s.client.EBSDefault(ctx)
	if err != nil || def.KeyID == "" {
		t.Errorf("default of EBS: %+v, %v", def, err)
	}
	s.testKey(t, def.KeyID)
	var ids []string
	for _, d := range image.Devices {
		if d.SnapshotID != "" {
			ids = append(ids, d.SnapshotID)
		}
	}
	snapshots, err := s.client.Snapshots(ctx, append([]string{"snap-00000000000000000"}, ids...))
	// Those of a public image cannot be seen, though it can be launched.
	if own := strings.Split(group.ARN, ":")[4] == image.Owner; err != nil || own && len(snapshots) != len(ids) {
		t.Fatalf("snapshots of %v: %+v, %v", ids, snapshots, err)
	}
	for _, snap := range snapshots {
		if !slices.Contains(ids, snap.ID) || snap.Owner == "" || snap.Encrypted != strings.HasPrefix(snap.KeyID, "arn:") {
			t.Errorf("snapshot: %+v", snap)
		}
		if snap.KeyID != "" {
			s.testKey(t, snap.KeyID)
		}
	}
}

// testKey reads all there is of a key.
func (s subject) testKey(t *testing.T, id string) {
	t.Helper()
	ctx := t.Context()
	key, err := s.client.Key(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(key.ARN, ":key/"+key.ID) || !strings.Contains(key.ARN, ":"+key.Account+":") || key.State != "Enabled" {
		t.Errorf("key: %+v", key)
	}
	grants, err := s.client.Grants(ctx, key.ARN)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range grants {
		if g.ID == "" || g.KeyARN != key.ARN || g.Grantee == "" || len(g.Operations) == 0 || g.CreatedAt.IsZero() {
			t.Errorf("grant: %+v", g)
		}
	}
	policy, err := s.client.KeyPolicy(ctx, key.ARN)
	if err != nil || !json.Valid([]byte(policy)) || !strings.Contains(policy, "Statement") {
		t.Errorf("policy: %s, %v", policy, err)
	}
}

func testUnknownOfChain(t *testing.T, s subject) {
	t.Helper()
	ctx := t.Context()
	group, err := s.client.Group(ctx, s.group)
	if err != nil {
		t.Fatal(err)
	}
	// The account's own number is in the group's ARN, and keys are asked for where the group is.
	arn := strings.Split(group.ARN, ":")
	noKey := "arn:aws:kms:" + arn[3] + ":" + arn[4] + ":key/00000000-0000-4000-8000-000000000000"
	for name, ask := range map[string]func() error{
		"template":      func() error { _, err := s.client.Template(ctx, cloud.Template{ID: "lt-00000000000000000"}); return err },
		"template_name": func() error { _, err := s.client.Template(ctx, cloud.Template{Name: "gate-none"}); return err },
		"version": func() error {
			_, err := s.client.Template(ctx, cloud.Template{ID: group.Template.ID, Version: "999999"})
			return err
		},
		"image":  func() error { _, err := s.client.Image(ctx, "ami-00000000000000000"); return err },
		"key":    func() error { _, err := s.client.Key(ctx, noKey); return err },
		"grants": func() error { _, err := s.client.Grants(ctx, noKey); return err },
		"policy": func() error { _, err := s.client.KeyPolicy(ctx, noKey); return err },
	} {
		t.Run(name, func(t *testing.T) {
			if err := ask(); code(err) != upgrade.CodeNotFound {
				t.Errorf("got %v, want code %s", err, upgrade.CodeNotFound)
			}
		})
	}
	if got, err := s.client.Snapshots(ctx, []string{"snap-00000000000000000", "snap-00000000000000001"}); err != nil || len(got) != 0 {
		t.Errorf("snapshots: %+v, %v", got, err)
	}
}

// testNode looks at an instance that a trial launched.
func (s subject) testNode(t *testing.T, id string) {
	t.Helper()
	ctx := t.Context()
	volumes, err := s.client.Volumes(ctx, id)
	if err != nil || len(volumes) == 0 {
		t.Fatalf("volumes: %+v, %v", volumes, err)
	}
	for _, v := range volumes {
		if v.ID == "" || v.Device == "" || v.State != "in-use" || v.Attachment != "attached" || v.Encrypted != strings.HasPrefix(v.KeyID, "arn:") {
			t.Errorf("volume: %+v", v)
		}
	}
	// What these say depends on the image.
	if _, err := s.client.Console(ctx, id); err != nil {
		t.Error(err)
	}
	if _, err := s.client.Ping(ctx, id); err != nil {
		t.Error(err)
	}
}

func testUnknownOfNode(t *testing.T, s subject) {
	t.Helper()
	ctx := t.Context()
	const none = "i-00000000000000000"
	if got, err := s.client.Volumes(ctx, none); err != nil || len(got) != 0 {
		t.Errorf("volumes: %+v, %v", got, err)
	}
	if online, err := s.client.Ping(ctx, none); err != nil || online {
		t.Errorf("ping: %t, %v", online, err)
	}
	if _, err := s.client.RunScript(ctx, none, "true", time.Minute); code(err) != upgrade.CodeUnavailable {
		t.Errorf("a script on an instance that does not answer: %v, want code %s", err, upgrade.CodeUnavailable)
	}
	if command, err := s.client.Command(ctx, "00000000-0000-4000-a000-000000000000", none); err != nil || command.Ended() || command.Code != -1 {
		t.Errorf("a command that nobody gave: %+v, %v", command, err)
	}
	if _, err := s.client.Console(ctx, none); code(err) != upgrade.CodeNotFound {
		t.Errorf("console: %v, want code %s", err, upgrade.CodeNotFound)
	}
	if _, err := s.client.Containers(ctx, "gate-none", []string{none}); code(err) != upgrade.CodeNotFound {
		t.Errorf("containers of an unknown cluster: %v, want code %s", err, upgrade.CodeNotFound)
	}
	if added, err := s.client.Added(ctx); err != nil || slices.ContainsFunc(added, func(a cloud.Added) bool { return a.Group == s.group }) {
		t.Errorf("added: %+v, %v", added, err)
	}
	if err := s.client.TakeOne(ctx, cloud.Added{Group: s.group, Run: "481"}); err != nil {
		t.Errorf("take back what was not added: %v", err)
	}
}

func testEvents(t *testing.T, s subject) {
	t.Helper()
	since := time.Now().Add(-24 * time.Hour)
	events, err := s.client.KeyEvents(t.Context(), since)
	if err != nil || !slices.IsSortedFunc(events, func(a, b cloud.KeyEvent) int { return a.At.Compare(b.At) }) {
		t.Errorf("got %+v, %v", events, err)
	}
	for _, e := range events {
		if e.ID == "" || e.Name == "" || e.By == "" || e.KeyID == "" || e.At.Before(since.Truncate(time.Second)) {
			t.Errorf("event: %+v", e)
		}
	}
}
