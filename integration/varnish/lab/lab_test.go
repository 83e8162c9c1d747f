package lab

import (
	"testing"
	"time"
)

func TestX(t *testing.T) {
	for range 3 {
		start := time.Now()
		l, err := Start(t.Context(), Config{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		t.Log("up", time.Since(start))
		start = time.Now()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		t.Log("down", time.Since(start))
	}
}
