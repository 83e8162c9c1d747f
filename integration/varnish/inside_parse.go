package varnish

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// most is how many back ends and VCLs are kept; more are no evidence that anybody reads.
const manyBackends = 200

// reply of varnishadm with -j: [version, [command…], time, content…] (vcli.h, VCLI_JSON_begin; 6.0 and later).
func parseReply(text []byte) ([]json.RawMessage, error) {
	var parts []json.RawMessage
	if err := json.Unmarshal(text, &parts); err != nil {
		return nil, fmt.Errorf("read JSON: %w", err)
	}
	if len(parts) < 3 {
		return nil, fmt.Errorf("%d parts, want at least 3", len(parts))
	}
	return parts[3:], nil
}

// parseVCLs reads "vcl.list -j": an object for each VCL, labels among them.
func parseVCLs(text []byte) ([]probe.VCL, error) {
	parts, err := parseReply(text)
	if err != nil {
		return nil, err
	}
	var list []probe.VCL
	for _, part := range parts[:min(len(parts), manyBackends)] {
		var one struct{ Name, Status, Temperature string }
		if err := json.Unmarshal(part, &one); err != nil {
			return nil, fmt.Errorf("read a VCL: %w", err)
		}
		if one.Name != "" {
			list = append(list, probe.VCL{Name: printable(one.Name, 200), Status: printable(one.Status, 50), Temperature: printable(one.Temperature, 50)})
		}
	}
	return list, nil
}

// activeOf returns the name of the VCL that serves, "" if none does.
func activeOf(list []probe.VCL) string {
	for _, one := range list {
		if one.Status == "active" {
			return one.Name
		}
	}
	return ""
}

// parseBackends reads "backend.list -j" and keeps those of one VCL, by name: an object keyed "VCL.NAME".
func parseBackends(text []byte, vcl string) ([]probe.Backend, error) {
	parts, err := parseReply(text)
	if err != nil {
		return nil, err
	}
	if len(parts) != 1 {
		return nil, fmt.Errorf("%d lists, want 1", len(parts))
	}
	var all map[string]struct {
		Type    string          `json:"type"`
		Admin   string          `json:"admin_health"`
		Message json.RawMessage `json:"probe_message"`
		Changed float64         `json:"last_change"`
	}
	if err := json.Unmarshal(parts[0], &all); err != nil {
		return nil, fmt.Errorf("read back ends: %w", err)
	}
	var list []probe.Backend
	for _, key := range sortedKeys(all) {
		name, ours := strings.CutPrefix(key, vcl+".")
		if !ours || len(list) >= manyBackends {
			continue
		}
		one := all[key]
		b := probe.Backend{Name: printable(name, 200), Type: printable(one.Type, 50), Admin: printable(one.Admin, 50)}
		b.Good, b.Of, b.Health = parseProbe(one.Message)
		if one.Changed > 0 && one.Changed < math.MaxInt32 {
			b.Since = time.UnixMilli(int64(one.Changed * 1000)).UTC()
		}
		list = append(list, b)
	}
	return list, nil
}

// parseProbe reads [good, of, "healthy"]; whatever has another form is not known.
func parseProbe(text json.RawMessage) (good, of int, health string) {
	var parts []json.RawMessage
	if json.Unmarshal(text, &parts) != nil || len(parts) != 3 {
		return 0, 0, ""
	}
	if json.Unmarshal(parts[0], &good) != nil || json.Unmarshal(parts[1], &of) != nil || json.Unmarshal(parts[2], &health) != nil {
		return 0, 0, ""
	}
	return good, of, printable(health, 50)
}

// parseCounters reads "varnishstat -1 -j" and keeps what [wanted] names. Since 6.5 the counters are under a
// key of their own, before that they were not.
func parseCounters(text []byte, vcl string) (map[string]uint64, error) {
	var outer map[string]json.RawMessage
	if err := json.Unmarshal(text, &outer); err != nil {
		return nil, fmt.Errorf("read JSON: %w", err)
	}
	all := outer
	if inner, newer := outer["counters"]; newer {
		all = nil
		if err := json.Unmarshal(inner, &all); err != nil {
			return nil, fmt.Errorf("read counters: %w", err)
		}
	}
	kept := map[string]uint64{}
	for _, key := range sortedKeys(all) {
		name := key
		if rest, ours := strings.CutPrefix(key, "VBE."+vcl+"."); ours {
			name = printable(rest, 200)
		} else if strings.HasPrefix(key, "VBE.") {
			continue // of another VCL
		}
		if !wanted(name) || len(kept) >= 20*manyBackends {
			continue
		}
		var one struct{ Value json.Number }
		if err := json.Unmarshal(all[key], &one); err != nil {
			return nil, fmt.Errorf("read %s: %w", printable(key, 200), err)
		}
		var value uint64
		if err := json.Unmarshal([]byte(one.Value), &value); err != nil {
			continue // below nothing, or no number: gauges are not asked for
		}
		kept[name] = value
	}
	if len(kept) == 0 {
		return nil, errors.New("no counter that is known")
	}
	return kept, nil
}

// wanted reports whether a counter tells what becomes of requests, or which layer behind Varnish fails.
func wanted(name string) bool {
	if rest, main := strings.CutPrefix(name, "MAIN."); main {
		return slices.Contains([]string{
			"cache_hit", "cache_hit_grace", "cache_miss", "s_pass", "fetch_failed", "backend_fail", "backend_unhealthy",
			"sess_dropped", "sess_queued", "n_lru_nuked", "uptime",
		}, rest)
	}
	i := strings.LastIndexByte(name, '.')
	return i > 0 && slices.Contains([]string{
		"req", "conn", "unhealthy", "busy", "fail", "fail_eacces", "fail_eaddrnotavail", "fail_econnrefused", "fail_enetunreach",
		"fail_etimedout", "fail_other", "helddown",
	}, name[i+1:])
}
