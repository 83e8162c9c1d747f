package lab

import (
	"net/netip"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Config is what a [Lab] or a [Site] needs. The zero value is usable.
type Config struct {
	Dir    string           // where it keeps its files; empty: the system's temporary folder
	Suffix string           // part of the names of its namespaces, at most 20 letters and digits; empty: by chance
	Now    func() time.Time // dates certificates and cached pages; nil: the time of the system
}

// startWithin is how long setting up may take on a machine that is busy with other things.
const startWithin = 20 * time.Second

var errSlow = &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "setting up the lab took longer than 20s"}

// Place is where one can stand in the lab.
type Place string

// The places to look from.
const (
	User Place = "user" // outside, beyond the router
	Peer Place = "peer" // beside Varnish, in its subnet
	LB   Place = "lb"   // a load balancer in front of Varnish, in its subnet
)

// The other places.
const (
	edge Place = "vcl"
	web1 Place = "web1"
	web2 Place = "web2"
	dns  Place = "dns"
)

// placeAddr returns the address of a place.
func placeAddr(p Place) netip.Addr {
	switch p { //nolint:exhaustive // the router has one in each network
	case User:
		return netip.AddrFrom4([4]byte{10, 77, 1, 10})
	case dns:
		return netip.AddrFrom4([4]byte{10, 77, 1, 53})
	case edge:
		return netip.AddrFrom4([4]byte{10, 77, 2, 10})
	case Peer:
		return netip.AddrFrom4([4]byte{10, 77, 2, 20})
	case LB:
		return netip.AddrFrom4([4]byte{10, 77, 2, 30})
	case web1:
		return netip.AddrFrom4([4]byte{10, 77, 3, 11})
	case web2:
		return netip.AddrFrom4([4]byte{10, 77, 3, 12})
	}
	return netip.Addr{}
}

func dnsAddr() netip.Addr { return placeAddr(dns) }

// Addr returns the address from which a place's connections come, as rules see it: User, Peer or LB.
func Addr(p Place) netip.Addr { return placeAddr(p) }

// VarnishAddr returns where the site is, inside the lab.
func VarnishAddr() netip.Addr { return placeAddr(edge) }
