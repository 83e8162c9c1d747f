package bench

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
)

// bareAddress is the variable that makes this program the server to compare with.
const bareAddress = "UPGRADEGATE_BENCH_BARE"

// serveBare serves what intake is compared with: the same HTTP stack, and a handler that answers 200.
func serveBare(addr string) int {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.POST("/webhooks/gitlab", func(c *gin.Context) { c.Status(http.StatusOK) })
	r.GET("/readyz", func(c *gin.Context) { c.Status(http.StatusOK) })
	server := &http.Server{Addr: addr, Handler: r, ReadHeaderTimeout: 10 * time.Second}
	_, _ = fmt.Fprintln(os.Stderr, server.ListenAndServe()) // it ends by being killed
	return 1
}

func startBare(t *testing.T, dir string) *program {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	addr := freeAddress(t)
	return start(t, dir, "bare", addr, []string{self}, map[string]string{bareAddress: addr})
}

// freeAddress returns an address of loopback on which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}
