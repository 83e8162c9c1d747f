package varnish

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

var update = flag.Bool("update", false, "rewrite testdata")

// classes returns every class that package probe knows, in its order.
func classes(t *testing.T) []probe.Class {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../upgrade/probe/probe.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var list []probe.Class
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Class" {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, probe.Class(value))
		}
		return true
	})
	if len(list) < 30 {
		t.Fatalf("%d classes found", len(list))
	}
	return list
}

// What people read of each class. Those that carry what was seen are said where it was seen, and by their
// own tests.
func TestSentences(t *testing.T) {
	elsewhere := map[probe.Class]bool{
		probe.ClassOK: true, probe.ClassGuarded: true, probe.ClassBackendStatus: true, probe.ClassWrongContent: true,
		probe.ClassStale: true, probe.ClassDNSUnexpected: true, probe.ClassSynth: true,
		probe.ClassTLSExpires: true, probe.ClassTLSOld: true, probe.ClassPacketLoss: true, probe.ClassBackendSlow: true,
		probe.ClassHealthByVCL: true, probe.ClassPortOpen: true, probe.ClassLoadBalancer: true,
		probe.ClassForcedSick: true, probe.ClassPerIP: true, // the gate's
	}
	var b strings.Builder
	secure := map[probe.Class]string{}
	for _, scheme := range []string{"https", "http"} {
		target, err := parse(probe.Path{URL: scheme + "://www.example.org/"})
		if err != nil {
			t.Fatal(err)
		}
		p := New(Config{})
		for _, class := range classes(t) {
			if elsewhere[class] {
				continue
			}
			says := sentence(class, target, netip.AddrPortFrom(netip.MustParseAddr("93.184.216.34"), target.port), p.limits)
			if says == strings.ReplaceAll(string(class), "_", " ") {
				t.Errorf("%s has no sentence", class)
			}
			if secure[class] == strings.ReplaceAll(says, "TCP 80", "TCP 443") {
				continue // the same for both
			}
			secure[class] = says
			fmt.Fprintf(&b, "%-5s %-28s %s\n", scheme, class, says)
		}
	}
	const name = "testdata/sentences.txt"
	if *update {
		if err := os.WriteFile(name, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("sentences changed; run with -update and read the difference\n%s", b.String())
	}
}
