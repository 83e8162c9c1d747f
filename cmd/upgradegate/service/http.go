package service

import (
	"log/slog"
	"net/http"
	"time"
)

// What one connection may take. Streams, logs that are followed and files move their own limits along.
const (
	headerLong  = 10 * time.Second // until the header of a request is there
	requestLong = time.Minute      // until all of a request is there
	answerLong  = 30 * time.Second // for an answer, from the end of the request's header
	idleLong    = 2 * time.Minute  // between requests
	headerBytes = 64 << 10         // GitLab's and browsers' are a tenth of it
)

// newHTTPServer returns a server that no slow or talkative client can hold up.
func newHTTPServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: headerLong, ReadTimeout: requestLong, WriteTimeout: answerLong, IdleTimeout: idleLong,
		MaxHeaderBytes: headerBytes, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}
