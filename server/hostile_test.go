package server

import (
	"encoding/csv"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/upgrade"
)

// evil tries to be markup, an attribute, an address and a template.
const evil = `<script>alert(1)</script>"'><img src=x onerror=alert(1)> javascript:alert(1) {{.}}`

// poison adds evil to every text that is not empty. Names that only the operator's file gives have types of their own
// and stay.
func poison(v reflect.Value) {
	switch v.Kind() { //nolint:exhaustive // the others hold no text
	case reflect.Pointer:
		if !v.IsNil() {
			poison(v.Elem())
		}
	case reflect.Struct:
		for _, f := range v.Fields() {
			if f.CanSet() {
				poison(f)
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			poison(v.Index(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			other := reflect.New(v.Type().Elem()).Elem()
			other.Set(v.MapIndex(key))
			poison(other)
			v.SetMapIndex(key, other)
		}
	case reflect.String:
		if v.Type() == reflect.TypeFor[string]() && v.String() != "" {
			v.SetString(v.String() + evil)
		}
	}
}

// TestHostileWorld: whatever others may write, from a title to what AWS says, is text on every page and part.
func TestHostileWorld(t *testing.T) {
	w, audit := envWorld(), someAudit()
	for _, part := range []any{&w.runs, &w.results, &w.applies, &w.orders, &w.requests, &w.events, &w.deliveries, &w.standings, &w.stretches, &w.readings, &w.logs, &audit.all} {
		poison(reflect.ValueOf(part))
	}
	world := askedWorld{w}
	change := func(c *Config) { c.Audit, c.Acts = audit, world }
	s := newSite(t, w, change)
	cfg := w.config(s.log)
	change(&cfg)
	cfg, err := cfg.check()
	if err != nil {
		t.Fatal(err)
	}
	pages, evils := 0, 0
	for _, r := range s.routes(cfg).Routes() {
		if r.Method != http.MethodGet || strings.HasPrefix(r.Path, "/api/") || strings.HasPrefix(r.Path, "/static/") || r.Path == "/events" {
			continue
		}
		targets := []string{strings.NewReplacer(":id", "481", ":stage", "apply", ":env", "staging", ":invariant", "grants", "/:stack", "/ecs-master", ":name", "none", ":provider", "gitlab").Replace(r.Path)}
		if strings.HasSuffix(r.Path, "/parts/:part") {
			whole := targets[0]
			targets = nil
			for _, part := range []string{"crumbs", "verdict", "rail", "gates", "plan", "log", "facts", "audit", "production", "gate-outage", "scene", "lead", "attention", "ready", "progress", "step", "recent", "env", "envline"} {
				targets = append(targets, strings.Replace(whole, ":part", part, 1))
			}
		}
		for _, target := range targets {
			got := s.get(target)
			if got.Code >= http.StatusInternalServerError && r.Path != "/readyz" {
				t.Errorf("%s is answered %d", target, got.Code)
			}
			body := got.Body.String()
			if !strings.HasPrefix(got.Header().Get("Content-Type"), "text/html") || got.Code != http.StatusOK {
				continue
			}
			pages++
			if strings.Contains(body, "&lt;script&gt;alert") {
				evils++
			}
			for what, bad := range map[string]interface{ FindString(string) string }{"handler": inlineHandler, "script": inlineScript, "markup": evilTag} {
				if found := bad.FindString(body); found != "" {
					t.Errorf("%s has a foreign %s: %s", target, what, found)
				}
			}
		}
	}
	if pages < 40 || evils < 25 {
		t.Errorf("%d pages and parts were seen, on %d of them what is hostile", pages, evils)
	}
}

// TestFormulas: a spreadsheet takes nothing that somebody wrote for a formula.
func TestFormulas(t *testing.T) {
	audit := &fakeAudit{all: []upgrade.AuditEntry{{
		Seq: 1, At: at("08:43:48"), Who: "=cmd|' /C calc'!A0", Via: "+1", From: "-1", Act: upgrade.ActApprove, On: "@SUM(A1)", Why: "\t=1", Detail: "\r=1", Result: upgrade.AuditDone,
	}}}
	s := newSite(t, fullWorld(), func(c *Config) { c.Audit = audit })
	rows, err := csv.NewReader(s.do(http.MethodGet, "/api/v1/audit/export?format=csv", managerToken, "").Body).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatal(rows, err)
	}
	guarded := 0
	for _, cell := range rows[1] {
		if strings.ContainsAny(cell[:min(len(cell), 1)], "=+-@\t\r") {
			t.Errorf("%q", cell)
		}
		if strings.HasPrefix(cell, "'") {
			guarded++
		}
	}
	if guarded != 6 {
		t.Errorf("%d of 6 cells are guarded: %q", guarded, rows[1])
	}
}
