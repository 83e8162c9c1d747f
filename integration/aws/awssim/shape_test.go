package awssim_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
)

// The descriptions of the services that come with the AWS command line.
const models = "/usr/lib/python3/dist-packages/awscli/botocore/data/"

// model is one of them, as far as it describes answers.
type model struct {
	Operations map[string]struct {
		Output struct{ Shape, ResultWrapper string }
	}
	Shapes map[string]shape
}

type shape struct {
	Type      string
	Flattened bool
	Member    ref
	Members   map[string]ref
	Enum      []string
}

type ref struct{ Shape, LocationName string }

// newer lists what the real services answer and the description of 2022 does not have yet.
func newer() map[string]bool {
	return map[string]bool{
		"DeleteSecurityGroup": true, // answers what it deleted, since 2024
		"securityGroupArn":    true, "securityGroupRuleArn": true,
		"attachedEbsStatus": true, "DeletionProtection": true,
		"GetKeyRotationStatus/KeyId": true, "GetKeyPolicy/PolicyName": true,
	}
}

// shapes stands between a client and a simulator and checks every good answer.
type shapes struct {
	url string
	mu  sync.Mutex // guards models
	all map[string]model
}

func watchShapes(t *testing.T, w *world) *shapes {
	t.Helper()
	s := &shapes{all: map[string]model{}}
	handler := w.sim.Handler()
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, r)
		check := s.check
		if r.Header.Get("X-Amz-Target") != "" {
			check = s.checkJSON
		}
		if rec.Code == http.StatusOK {
			if err := check(r, rec.Body.Bytes()); err != nil {
				t.Error(err)
			}
		}
		maps.Copy(rw.Header(), rec.Header())
		rw.WriteHeader(rec.Code)
		_, _ = io.Copy(rw, rec.Body)
	}))
	t.Cleanup(srv.Close)
	s.url = srv.URL
	return s
}

// element is an XML element with all that is in it.
type element struct {
	XMLName xml.Name
	Kids    []element `xml:",any"`
	Text    string    `xml:",chardata"`
}

func (s *shapes) check(r *http.Request, body []byte) error {
	service := strings.Split(r.Header.Get("Authorization"), "/")[3]
	m, err := s.model(service)
	if err != nil || len(m.Shapes) == 0 {
		return err
	}
	var doc element
	if err := xml.NewDecoder(bytes.NewReader(body)).Decode(&doc); err != nil {
		return fmt.Errorf("%s: %w", body, err)
	}
	action := strings.TrimSuffix(doc.XMLName.Local, "Response")
	out := m.Operations[action].Output
	if newer()[action] {
		return nil
	}
	if out.ResultWrapper != "" {
		if len(doc.Kids) != 2 || doc.Kids[0].XMLName.Local != out.ResultWrapper {
			return fmt.Errorf("%s: the answer has no %s", action, out.ResultWrapper)
		}
		doc = doc.Kids[0]
	}
	if out.Shape == "" {
		return nil
	}
	return m.fits(doc, out.Shape, action)
}

func (s *shapes) model(service string) (model, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	version := map[string]string{
		"ec2": "2016-11-15", "autoscaling": "2011-01-01", "sts": "2011-06-15", "iam": "2010-05-08",
		"kms": "2014-11-01", "ecs": "2014-11-13", "ssm": "2014-11-06", "cloudtrail": "2013-11-01",
	}[service]
	if m, ok := s.all[service]; ok {
		return m, nil
	}
	var m model
	raw, err := os.ReadFile(models + service + "/" + version + "/service-2.json")
	if err == nil {
		err = json.Unmarshal(raw, &m)
	}
	if errors.Is(err, os.ErrNotExist) {
		err = nil // another command line than Debian's
	}
	s.all[service] = m
	return m, err
}

// fits reports what of an element its shape does not have.
func (m model) fits(e element, name, path string) error {
	sh := m.Shapes[name]
	switch sh.Type {
	case "structure":
		for _, kid := range e.Kids {
			local := kid.XMLName.Local
			if local == "requestId" || newer()[local] {
				continue
			}
			to := ""
			for member, r := range sh.Members {
				if local == r.LocationName || r.LocationName == "" && local == member {
					to = r.Shape
				}
			}
			if to == "" {
				return fmt.Errorf("%s: %s has no %s", path, name, local)
			}
			if err := m.fits(kid, to, path+"/"+local); err != nil {
				return err
			}
		}
	case "list":
		want := sh.Member.LocationName
		if want == "" {
			want = "member"
		}
		for _, kid := range e.Kids {
			if kid.XMLName.Local != want {
				return fmt.Errorf("%s: an element of %s is called %s, not %s", path, name, want, kid.XMLName.Local)
			}
			if err := m.fits(kid, sh.Member.Shape, path); err != nil {
				return err
			}
		}
	default:
		if len(e.Kids) > 0 {
			return fmt.Errorf("%s: %s is plain", path, name)
		}
		if len(sh.Enum) > 0 && !strings.Contains("\n"+strings.Join(sh.Enum, "\n")+"\n", "\n"+e.Text+"\n") {
			return fmt.Errorf("%s: %q is not one of %v", path, e.Text, sh.Enum)
		}
	}
	return nil
}
