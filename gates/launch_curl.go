package gates

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// curlWords is what curl says at the end: curl(1), --write-out.
const curlWords = `%{http_code} %{remote_ip} %{remote_port} %{time_namelookup} %{time_connect} %{time_appconnect} %{time_starttransfer} %{time_total}`

// curlResolve tells curl where hosts are to be found.
func curlResolve(path probe.Path) (args []string) {
	u, err := url.Parse(path.URL)
	if err != nil {
		return nil
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	for host, at := range path.Resolve {
		to := at
		if pair, err := netip.ParseAddrPort(at); err == nil {
			args = append(args, "--connect-to "+quoted(host+":"+port+":"+pair.Addr().String()+":"+strconv.Itoa(int(pair.Port()))))
			continue
		}
		args = append(args, "--resolve "+quoted(host+":"+port+":"+to))
	}
	slices.Sort(args)
	return args
}

// readProbe reads what a probe on the instance said, and by what it probed. CodeUnavailable when nothing can be
// told from it.
func readProbe(path probe.Path, command cloud.Command, at time.Time) (ladders []probe.Ladder, by string, err error) {
	if command.Status != "Success" {
		return nil, "", &upgrade.Error{
			Code: upgrade.CodeUnavailable, Msg: fmt.Sprintf("the probe on %s ended as %s (%s)", command.InstanceID, command.Status, command.Details),
			Hint: "look at the command in AWS Systems Manager",
		}
	}
	by, rest, _ := strings.Cut(command.Stdout, "\n")
	switch strings.TrimSpace(by) {
	case "upgradegate":
		ladders, err = readOrder(rest)
		return ladders, "upgradegate", err
	case "curl":
		ladder, err := readCurl(path, rest, at)
		return []probe.Ladder{ladder}, "curl", err
	case "neither":
		return nil, "", &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("neither upgradegate nor curl is installed on %s, so it cannot probe", command.InstanceID),
			Hint: "add one of them to the image, or take probe out of the gate",
		}
	}
	return nil, "", unreadable("it begins otherwise than it should")
}

func unreadable(why string) error {
	return &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "what the probe on the test instance said cannot be read: " + why}
}

// mostLadders bounds what is believed of an instance's answer.
const mostLadders = 64

// readOrder reads what `upgradegate probe --order` said.
func readOrder(text string) ([]probe.Ladder, error) {
	var work struct {
		State   string         `json:"state"`
		Ladders []probe.Ladder `json:"ladders"`
		Failure *struct {
			Msg  string `json:"msg"`
			Hint string `json:"hint"`
		} `json:"failure"`
	}
	switch err := json.Unmarshal([]byte(text), &work); {
	case err != nil:
		return nil, unreadable("it is not whole; Systems Manager keeps 24,000 characters")
	case work.Failure != nil:
		return nil, &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "the test instance could not probe: " + work.Failure.Msg, Hint: work.Failure.Hint}
	case len(work.Ladders) == 0 || len(work.Ladders) > mostLadders:
		return nil, unreadable(fmt.Sprintf("it has %d ladders", len(work.Ladders)))
	}
	return work.Ladders, nil
}

// curled is what curl said.
type curled struct {
	exit, status                    int
	found                           bool // the text that the page must hold
	addr                            netip.AddrPort
	dns, tcp, tls, firstByte, whole time.Duration // since the beginning; 0: not reached
	trouble                         string        // in curl's words
	head                            string
}

func parseCurl(text string) (c curled, err error) {
	words, rest, _ := strings.Cut(text, "\n")
	c.trouble, rest, _ = strings.Cut(rest, "\n")
	if c.trouble == "--" {
		c.trouble = ""
	} else {
		_, rest, _ = strings.Cut(rest, "--\n")
	}
	c.head = rest
	fields := strings.Fields(words)
	if len(fields) < 4 {
		return c, unreadable("curl did not say how it ended")
	}
	if c.exit, err = strconv.Atoi(fields[0]); err != nil {
		return c, unreadable("curl did not say how it ended")
	}
	c.found = fields[1] == "yes"
	if c.status, err = strconv.Atoi(fields[2]); err != nil || c.status > 999 {
		return c, unreadable("curl named no status")
	}
	fields = fields[3:]
	if len(fields) == 7 { // else it has no address
		addr, err := netip.ParseAddr(fields[0])
		port, errPort := strconv.ParseUint(fields[1], 10, 16)
		if err == nil && errPort == nil {
			c.addr = netip.AddrPortFrom(addr.Unmap().WithZone(""), uint16(port))
		}
	}
	for i, into := range []*time.Duration{&c.whole, &c.firstByte, &c.tls, &c.tcp, &c.dns} {
		if at := len(fields) - 1 - i; at >= 0 {
			seconds, err := strconv.ParseFloat(fields[at], 64)
			if err != nil || !(seconds >= 0 && seconds < 3600) {
				return c, unreadable("curl named no times")
			}
			*into = time.Duration(seconds * float64(time.Second))
		}
	}
	return c, nil
}

// readCurl makes a ladder of what curl said: fewer layers than our own prober has, on one address.
func readCurl(path probe.Path, text string, at time.Time) (probe.Ladder, error) {
	c, err := parseCurl(text)
	ladder := probe.Ladder{URL: path.URL, Address: c.addr, Status: c.status, At: at, Took: c.whole}
	if err != nil {
		return ladder, err
	}
	layer, class, detail, err := c.broken(path)
	if err != nil {
		return ladder, err
	}
	front := probe.LayerVarnish
	if !path.ViaVarnish {
		front = probe.LayerContent
	}
	took := map[probe.Layer]time.Duration{
		probe.LayerDNS: c.dns, probe.LayerTCP: c.tcp - c.dns, probe.LayerTLS: c.tls - c.tcp, front: c.whole - max(c.tls, c.tcp), probe.LayerContent: c.whole - max(c.tls, c.tcp),
	}
	state := probe.RungOK
	for _, one := range slices.Compact([]probe.Layer{probe.LayerDNS, probe.LayerTCP, probe.LayerTLS, front, probe.LayerContent}) {
		rung := probe.Rung{Layer: one, State: state, Class: probe.ClassOK, Took: max(0, took[one])}
		switch {
		case state == probe.RungNotReached:
			rung = probe.Rung{Layer: one, State: state}
		case one == layer:
			rung.State, rung.Class, rung.Detail = probe.RungBroken, class, detail
			state = probe.RungNotReached
		case one == probe.LayerTLS && !strings.HasPrefix(path.URL, "https:"):
			rung = probe.Rung{Layer: one, State: probe.RungNotAsked}
		case one == probe.LayerContent:
			rung.Detail = strconv.Itoa(c.status)
		}
		ladder.Rungs = append(ladder.Rungs, rung)
	}
	return ladder, nil
}

// broken returns at which layer curl met something wrong; "" if nothing was. The codes are those of curl(1).
func (c curled) broken(path probe.Path) (probe.Layer, probe.Class, string, error) {
	u, err := url.Parse(path.URL)
	if err != nil {
		return "", "", "", fmt.Errorf("read the address of a path: %w", err)
	}
	host, where := u.Hostname(), u.Host
	if c.addr.IsValid() {
		where = c.addr.String()
	}
	https := u.Scheme == "https"
	switch c.exit {
	case 0, 63: // 63: larger than curl was to read
		layer, class, detail := c.judge(path)
		return layer, class, detail, nil
	case 6:
		return probe.LayerDNS, probe.ClassDNSMissing, fmt.Sprintf("the name %s has no address there", host), nil
	case 7:
		if strings.Contains(c.trouble, "refused") {
			return probe.LayerTCP, probe.ClassTCPRefused, fmt.Sprintf("TCP to %s is refused there: nothing listens, or a firewall rejects", where), nil
		}
		// Newer ones do not say which.
		return probe.LayerTCP, probe.ClassHostUnreachable, fmt.Sprintf("%s takes no connection there: it is refused, or there is no route", where), nil
	case 28:
		switch {
		case c.dns == 0 && c.tcp == 0:
			return probe.LayerDNS, probe.ClassDNSTimeout, fmt.Sprintf("nobody answered there for the address of %s", host), nil
		case c.tcp == 0:
			return probe.LayerTCP, probe.ClassTCPTimeout, fmt.Sprintf("no answer from %s there: a security group, a network ACL or a route drops packets", where), nil
		case https && c.tls == 0:
			return probe.LayerTLS, probe.ClassTLSTimeout, fmt.Sprintf("%s takes connections there and never speaks TLS", where), nil
		}
		return front(path), probe.ClassHTTPFirstByte, fmt.Sprintf("%s takes the request there and does not answer it in time", where), nil
	case 35, 51, 58, 60, 77, 83, 90, 91:
		return probe.LayerTLS, probe.ClassTLSOther, fmt.Sprintf("TLS with %s fails there: %s", where, c.trouble), nil
	case 18, 52, 55, 56, 92:
		return front(path), probe.ClassHTTPEOF, fmt.Sprintf("%s ends the connection there without a whole answer", where), nil
	}
	return "", "", "", unreadable(fmt.Sprintf("curl ended with %d: %s", c.exit, c.trouble))
}

func front(path probe.Path) probe.Layer {
	if path.ViaVarnish {
		return probe.LayerVarnish
	}
	return probe.LayerContent
}

// judge judges an answer.
func (c curled) judge(path probe.Path) (probe.Layer, probe.Class, string) {
	if path.ViaVarnish && !c.viaVarnish(path) {
		return probe.LayerVarnish, probe.ClassNotViaVarnish, "the answer did not come through Varnish there"
	}
	wanted := path.Expect.Status
	if len(wanted) == 0 {
		wanted = []int{200}
	}
	if !slices.Contains(wanted, c.status) {
		return probe.LayerContent, probe.ClassBackendStatus, fmt.Sprintf("the answer is %d there, expected %s", c.status, strings.Trim(fmt.Sprint(wanted), "[]"))
	}
	if path.Expect.BodyContains != "" && !c.found {
		return probe.LayerContent, probe.ClassWrongContent, fmt.Sprintf("the page lacks %q there", path.Expect.BodyContains)
	}
	return "", "", ""
}

// viaVarnish looks for Varnish in the headers of the last answer.
func (c curled) viaVarnish(path probe.Path) bool {
	for line := range strings.Lines(c.head) {
		name, value, _ := strings.Cut(line, ":")
		name = strings.ToLower(strings.TrimSpace(name))
		if name == "x-varnish" || name == "via" && strings.Contains(strings.ToLower(value), "varnish") || path.VarnishHeader != "" && strings.EqualFold(name, path.VarnishHeader) {
			return true
		}
	}
	return false
}
