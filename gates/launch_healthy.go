package gates

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// unmet returns what an instance is still waited for, in words that go behind "until". An error by Failf:
// waiting does not help.
func (w *watch) unmet(ctx context.Context, instance cloud.Instance) ([]string, error) {
	if instance.State != "running" {
		words := "it runs: it is " + instance.State
		if instance.StateReasonCode != "" {
			words += ", " + reason(instance)
			w.rec.Quote("EC2", reason(instance), w.clock.Now())
		}
		return []string{words}, nil
	}
	var waits []string
	if w.StatusChecks && (instance.SystemStatus != "ok" || instance.InstanceStatus != "ok") {
		waits = append(waits, fmt.Sprintf("EC2's checks are ok: the system's is %q, the instance's %q", instance.SystemStatus, instance.InstanceStatus))
	}
	for _, ask := range []func(context.Context, cloud.Instance) (string, error){w.volumes, w.registered, w.answers, w.said} {
		wait, err := ask(ctx, instance)
		if err != nil {
			return nil, err
		}
		if wait != "" {
			waits = append(waits, wait)
		}
	}
	if len(waits) > 0 {
		return waits, nil
	}
	wait, err := w.reaches(ctx, instance)
	if wait != "" {
		waits = append(waits, wait)
	}
	return waits, err
}

// reason is why AWS ended an instance, in its words.
func reason(instance cloud.Instance) string {
	code, message := instance.StateReasonCode, instance.StateReasonMessage
	switch {
	case message == "":
		return code
	case strings.HasPrefix(message, code):
		return message
	}
	return code + ": " + message
}

// volumes looks whether the volumes are there, and encrypted as the keys that were looked at say.
func (w *watch) volumes(ctx context.Context, instance cloud.Instance) (wait string, err error) {
	volumes, err := w.aws.Volumes(ctx, instance.ID)
	if err != nil && upgrade.CodeOf(err) == upgrade.CodeForbidden {
		w.rec.Warnf("the volumes of the test instance could not be looked at: %s", upgrade.Public(err))
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the volumes of %s: %w", instance.ID, err)
	}
	expected := w.pre.expected(w.template)
	rows := make([][]string, 0, len(volumes))
	for _, v := range volumes {
		rows = append(rows, []string{v.Device, v.ID, v.State, v.KeyID})
		if v.State != "in-use" || v.Attachment != "attached" {
			wait = fmt.Sprintf("its volume %s is attached: it is %s", v.Device, v.State)
		}
		key, known := expected[v.Device]
		delete(expected, v.Device)
		switch {
		case !known || key == "":
		case !v.Encrypted:
			return "", FailBrief(brief("%s starts instances with volumes that are not encrypted", w.env),
				"the volume %s of %s is not encrypted, with key %s expected", v.Device, instance.ID, key)
		case v.KeyID != key:
			w.rec.Warnf("the volume %s of the test instance is encrypted with %s, and not with %s as its template and image say", v.Device, v.KeyID, key)
		}
	}
	if len(rows) > 0 {
		w.rec.Table(w.label("Volumes"), []string{"Device", "Volume", "State", "Key"}, rows)
	}
	maps.DeleteFunc(expected, func(_, key string) bool { return key == "" })
	if wait == "" && len(expected) > 0 {
		wait = fmt.Sprintf("its volume %s is attached", slices.Sorted(maps.Keys(expected))[0])
	}
	return wait, nil
}

// registered looks whether the instance is in the ECS cluster, and keeps tasks off it there: it is about to
// go again. In the real group it takes tasks as any other.
func (w *watch) registered(ctx context.Context, instance cloud.Instance) (wait string, err error) {
	if w.Cluster == "" {
		return "", nil
	}
	found, err := w.aws.Containers(ctx, w.Cluster, []string{instance.ID})
	if err != nil {
		return "", fmt.Errorf("look for %s in ECS cluster %s: %w", instance.ID, w.Cluster, err)
	}
	if len(found) == 0 {
		return "it registers in ECS cluster " + w.Cluster, nil
	}
	container := found[0]
	w.fact("ECS", "%s, agent connected: %t, tasks: %d", container.Status, container.Connected, container.Running)
	if strings.HasSuffix(container.Status, "_FAILED") {
		return "", FailBrief(brief("%s's new instances cannot join ECS cluster %s", w.env, w.Cluster),
			"%s could not register in ECS cluster %s: it is %s", instance.ID, w.Cluster, container.Status)
	}
	if container.Status == "ACTIVE" && !w.drained && !w.real {
		switch err := w.aws.Drain(ctx, w.Cluster, container.ARN); {
		case err == nil:
			w.drained = true
			w.rec.Logf("%s is drained, so that no task stays on it", instance.ID)
		case !upgrade.Transient(err):
			w.drained = true // asking again would not help
			w.rec.Warnf("the test instance could not be drained, so tasks of cluster %s may be on it when it goes: %s", w.Cluster, upgrade.Public(err))
		default:
			w.rec.Logf("drain %s: %v", instance.ID, err)
		}
	}
	if container.Status != "ACTIVE" && container.Status != "DRAINING" || !container.Connected {
		return fmt.Sprintf("its agent is connected to ECS cluster %s: it is %s", w.Cluster, container.Status), nil
	}
	return "", nil
}

// answers looks whether the instance answers AWS Systems Manager.
func (w *watch) answers(ctx context.Context, instance cloud.Instance) (wait string, err error) {
	if !w.SSM {
		return "", nil
	}
	online, err := w.aws.Ping(ctx, instance.ID)
	if err != nil {
		return "", fmt.Errorf("look whether %s answers Systems Manager: %w", instance.ID, err)
	}
	if !online {
		return "it answers AWS Systems Manager", nil
	}
	return "", nil
}

// said looks for the text that must stand in the console output.
func (w *watch) said(ctx context.Context, instance cloud.Instance) (wait string, err error) {
	if w.Console == "" {
		return "", nil
	}
	text, err := w.aws.Console(ctx, instance.ID)
	if err != nil {
		return "", fmt.Errorf("read the console of %s: %w", instance.ID, err)
	}
	for line := range strings.Lines(text) {
		if strings.Contains(line, w.Console) {
			w.rec.Quote("Console of "+instance.ID, strings.TrimSpace(line), w.clock.Now())
			return "", nil
		}
	}
	if len(text) > maxQuote {
		text = text[len(text)-maxQuote:]
	}
	w.console = text
	return fmt.Sprintf("its console says %q", w.Console), nil
}
