package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/upgradegate/upgradegate/integration/aws/awssim"
)

// ruleTakes is how long AWS takes to change a rule of a security group, in real time: what the site feels of it
// is measured, and a step of no length could be no step's fault.
const ruleTakes = 300 * time.Millisecond

// trailDelay is the longest that Amazon allows CloudTrail: "within 15 minutes".
const trailDelay = 15 * time.Minute

func (st *stage) buildAWS(ctx context.Context) (err error) {
	st.aws, err = awssim.New(awssim.Config{
		Clock: st.clock, Region: region, Log: st.options.Log,
		Timing: awssim.Timing{Trail: trailDelay},
		Roles:  []awssim.Role{{ARN: gateRole, ExternalID: externalID}, {ARN: readRole, ExternalID: externalID}},
	})
	if err != nil {
		return fmt.Errorf("simulate AWS: %w", err)
	}
	st.aws.AddImage(awssim.Image{Name: goodImage})
	dead := st.aws.AddImage(awssim.Image{Name: deadImage})
	st.aws.FailImage(dead, awssim.Failure{Code: deadCode, Message: deadMessage, Status: "Cancelled"})
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("simulate AWS: %w", err)
	}
	st.awsURL = "http://" + listener.Addr().String()
	server := &http.Server{Handler: takingTime(st.aws.Handler()), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute}
	st.work.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			st.options.Log.ErrorContext(ctx, "simulated aws stopped", "err", err)
		}
	})
	st.work.Go(func() {
		<-ctx.Done()
		_ = server.Close() // what is under way belongs to clients that go away too
	})
	return nil
}

// takingTime makes changes of rules take time before they are made, and nothing else.
func takingTime(aws http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 16<<20))
		if err != nil {
			http.Error(w, "cannot read the request: "+err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if bytes.Contains(body, []byte("Action=AuthorizeSecurityGroup")) || bytes.Contains(body, []byte("Action=RevokeSecurityGroup")) {
			select {
			case <-time.After(ruleTakes):
			case <-r.Context().Done():
				return
			}
		}
		aws.ServeHTTP(w, r)
	})
}
