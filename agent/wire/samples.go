package wire

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// MaxSamples is how many samples one delivery may hold.
const MaxSamples = 512

const (
	maxUnpacked = 4 << 20        // bytes of a delivery's samples
	maxSample   = 48 * time.Hour // after the beginning of a stream
)

// Delivery is samples of one stream, in order.
type Delivery struct {
	Stream string `json:"stream"`
	Origin string `json:"origin"`   // as of Work
	Begun  int64  `json:"begun_ns"` // of the stream, by the gate's clock, nanoseconds since 1970
	First  int64  `json:"first"`    // number of the first sample, from 0
	Packed []byte `json:"packed"`   // by Pack
}

// Pack packs samples: a tenth of what they are, since most are alike.
func Pack(samples []probe.Sample) ([]byte, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if err := json.NewEncoder(z).Encode(samples); err != nil {
		return nil, fmt.Errorf("pack samples: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("pack samples: %w", err)
	}
	return out.Bytes(), nil
}

// Unpack is the inverse of Pack for bytes of anybody. CodeInvalid for what no agent of ours sends.
func Unpack(packed []byte) ([]probe.Sample, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "the samples are not packed", Cause: err}
	}
	data, err := io.ReadAll(io.LimitReader(z, maxUnpacked+1))
	if err != nil || len(data) > maxUnpacked {
		return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "the samples cannot be unpacked", Cause: err}
	}
	var samples []probe.Sample
	if err := Lenient(data, &samples); err != nil {
		return nil, err
	}
	if len(samples) > MaxSamples {
		return nil, beyond("a delivery")
	}
	for i := range samples {
		if err := checkSample(&samples[i]); err != nil {
			return nil, err
		}
	}
	return samples, nil
}

var wordForm = regexp.MustCompile(`^[A-Za-z0-9_]{0,48}$`)

func checkSample(s *probe.Sample) error {
	switch {
	case s.Sched < 0 || s.Start < 0 || s.End < s.Start || s.End > maxSample || s.Sched > maxSample:
		return beyond("the time of a sample")
	case !wordForm.MatchString(string(s.Class)) || !wordForm.MatchString(string(s.Layer)):
		return beyond("the class of a sample")
	case s.OK != (s.Class == probe.ClassOK):
		return beyond("a sample that is both")
	case s.Status < 0 || s.Status > 999:
		return beyond("the status of a sample")
	case s.TTL < 0:
		return beyond("the TTL of a sample")
	}
	if err := checkChain(s.Chain); err != nil {
		return err
	}
	s.Quote = Clip(s.Quote)
	return nil
}

// checkChain refuses certificates with more in them than a prober tells.
func checkChain(chain []probe.Cert) error {
	if len(chain) > probe.MostCerts {
		return beyond("a chain of certificates")
	}
	for i := range chain {
		c := &chain[i]
		if len(c.Names) > probe.MostNames || c.More < 0 || len(c.Serial) > 64 || len(c.SHA256) > 64 {
			return beyond("a certificate")
		}
		c.Subject, c.Issuer = Clip(c.Subject), Clip(c.Issuer)
		for k := range c.Names {
			c.Names[k] = Clip(c.Names[k])
		}
	}
	return nil
}
