package lab

import (
	"net/netip"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/varnish"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// openSite opens a site of a kind, or skips as [open] does.
func openSite(t *testing.T, kind Kind) *Site {
	t.Helper()
	if _, err := program("varnishd"); err != nil && kind == KindForwarder {
		needs(t, err, "varnish")
	}
	if err := Available(); err != nil && kind == KindNamespaces {
		needs(t, err, "varnish", "netns")
	}
	start := time.Now()
	s, err := OpenSite(t.Context(), SiteConfig{Kind: kind, Config: Config{Dir: t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s after %s", s.Kind, time.Since(start).Round(time.Millisecond))
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		for _, pid := range children(t) {
			t.Errorf("child %s is left", pid)
		}
	})
	return s
}

// All kinds of site look the same to a prober.
func TestSites(t *testing.T) {
	for _, kind := range []Kind{KindNamespaces, KindForwarder, KindStandIn} {
		t.Run(string(kind), func(t *testing.T) {
			s := openSite(t, kind)
			if s.Kind != kind || s.Why != "" || s.URL != s.Path("/nocache").URL {
				t.Errorf("site is %q at %s because %q", s.Kind, s.URL, s.Why)
			}
			t.Run("whole", func(t *testing.T) {
				for _, from := range []Place{User, Peer, LB} {
					site(t, s, from, "/", "", "")
					site(t, s, from, "/nocache", "", "")
					site(t, s, from, "/big", "", "")
				}
			})
			t.Run("rules", func(t *testing.T) { siteRules(t, s) })
			t.Run("back_ends", func(t *testing.T) { siteBackends(t, s) })
			t.Run("varnish_down", func(t *testing.T) {
				for range 2 {
					if err := s.StopVarnish(); err != nil {
						t.Fatal(err)
					}
				}
				l := look(t, s, User, "/nocache")
				if _, broken := l.Broken(); !broken {
					t.Error("the site answers")
				}
				if err := s.StartVarnish(); err != nil {
					t.Fatal(err)
				}
				if err := s.ready(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func siteRules(t *testing.T, s *Site) {
	t.Helper()
	only := func(from Place) []Rule { return []Rule{Admit(netip.PrefixFrom(s.Addr(from), 24).Masked(), s.Port)} }
	set := func(rules []Rule) {
		t.Helper()
		if err := s.SetIngress(t.Context(), rules); err != nil {
			t.Fatal(err)
		}
	}
	set(only(Peer))
	site(t, s, User, "/nocache", probe.LayerTCP, probe.ClassTCPTimeout)
	site(t, s, Peer, "/nocache", "", "")
	set(only(User))
	site(t, s, User, "/nocache", "", "")
	site(t, s, LB, "/nocache", probe.LayerTCP, probe.ClassTCPTimeout)
	set([]Rule{Refuse(Anywhere(), s.Port)})
	site(t, s, User, "/nocache", probe.LayerTCP, probe.ClassTCPRefused)
	set(nil)
	site(t, s, User, "/nocache", probe.LayerTCP, probe.ClassTCPTimeout)
	set([]Rule{Admit(Anywhere(), 0)})
	site(t, s, User, "/nocache", "", "")
}

func siteBackends(t *testing.T, s *Site) {
	t.Helper()
	each := func(f func(*Backend) error) {
		t.Helper()
		for _, b := range s.Backends {
			if err := f(b); err != nil {
				t.Fatal(err)
			}
		}
	}
	each(func(b *Backend) error { b.Serve(200, "other site"); return nil })
	site(t, s, User, "/nocache", probe.LayerContent, probe.ClassWrongContent)
	each(func(b *Backend) error { b.Serve(500, "oops"); return nil })
	site(t, s, User, "/nocache", probe.LayerBackend, probe.ClassBackendStatus)
	each(func(b *Backend) error { b.Serve(200, Marker); return nil })
	each((*Backend).Stop)
	site(t, s, User, "/nocache", probe.LayerBackend, probe.ClassBackendFetch)
	site(t, s, User, "/", probe.LayerBackend, probe.ClassBackendFetch) // cached, so only the bypass tells
	each((*Backend).Start)
	if err := s.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func look(t *testing.T, s *Site, from Place, page string) probe.Ladder {
	t.Helper()
	ladders, err := varnish.New(s.Prober(from, limits())).Climb(t.Context(), s.Path(page))
	if err != nil || len(ladders) != 1 {
		t.Fatalf("%d ladders, %v", len(ladders), err)
	}
	return ladders[0]
}

// site probes a page from a place and compares the broken rung.
func site(t *testing.T, s *Site, from Place, page string, layer probe.Layer, class probe.Class) {
	t.Helper()
	rung, _ := look(t, s, from, page).Broken()
	if rung.Layer != layer || rung.Class != class {
		t.Errorf("%s %s: broken at %q with %q, want %q with %q: %s", from, page, rung.Layer, rung.Class, layer, class, rung.Detail)
	}
}

func TestBestSite(t *testing.T) {
	s, err := OpenSite(t.Context(), SiteConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s; %s", s.Kind, s.Why)
	if (s.Kind == KindNamespaces) != (s.Why == "") {
		t.Errorf("kind %q because %q", s.Kind, s.Why)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := OpenSite(t.Context(), SiteConfig{Kind: "better"}); err == nil {
		t.Error("a kind of site that does not exist")
	}
}
