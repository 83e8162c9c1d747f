package terraform

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The files of an attempt's folder, in the order in which they appear. The service writes the order;
// the shim everything else, except the wish to stop.
const (
	FileOrder   = "order.json"
	FileShimLog = "shim.log"     // what the shim itself prints
	FileLaunch  = "launch"       // starts the tool: see LaunchScript
	FileStop    = "stop"         // somebody asked for an end in order
	FileStarted = "started.json" // Terraform is about to start: from here on the plan is used up
	FileEvents  = "events.jsonl" // Terraform's JSON log, masked
	FileStderr  = "stderr.log"   // masked
	FileResult  = "result.json"
)

// Order is what the shim is told. No secret is in it (S9): those come as its environment.
type Order struct {
	Binary     string   `json:"binary"`
	Tool       string   `json:"tool,omitempty"`      // that made the plan, "terraform 1.11.4"; empty: not compared
	Known      string   `json:"known,omitempty"`     // what the binary said that it is, when it was the file BinaryID
	BinaryID   string   `json:"binary_id,omitempty"` // see the function of that name; empty: it is asked
	Dir        string   `json:"dir"`                 // of the root module
	Plan       string   `json:"plan"`
	PlanDigest string   `json:"plan_digest"`
	LockDigest string   `json:"lock_digest"` // of .terraform.lock.hcl; "" when there is none
	Lock       string   `json:"lock"`        // file that descriptor 3 holds locked
	Log        string   `json:"log"`         // readable log, relative to Data
	Data       string   `json:"data"`
	Tmp        string   `json:"tmp"`
	Wait       string   `json:"wait"`    // for the lock of the state, such as "1m0s"
	Env        []string `json:"env"`     // names of the variables that Terraform sees
	Secrets    []string `json:"secrets"` // names of those whose values are masked
}

// Started says who runs an attempt. A process is the same only if its start time is too: numbers are
// used again.
type Started struct {
	PID     int       `json:"pid"`
	Ticks   string    `json:"ticks"` // start time of the process as in /proc/PID/stat
	User    string    `json:"user"`
	Host    string    `json:"host"`
	BootID  string    `json:"boot_id"`
	At      time.Time `json:"at"`
	Version string    `json:"version"` // of the tool
}

// Result says how an attempt ended.
type Result struct {
	Refused  bool      `json:"refused,omitempty"` // Terraform was not started
	OK       bool      `json:"ok"`
	ExitCode int       `json:"exit_code"` // -1: it was killed
	Message  string    `json:"message,omitempty"`
	Address  string    `json:"address,omitempty"`
	Stale    bool      `json:"stale,omitempty"`
	At       time.Time `json:"at"`
}

// ReadJSON reads a file of an attempt's folder into to. It does not follow a link out of the folder.
// A missing file is fs.ErrNotExist.
func ReadJSON(dir, name string, to any) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open the folder of the apply: %w", err)
	}
	defer func() { _ = root.Close() }()
	raw, err := root.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if err := json.Unmarshal(raw, to); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

// WriteJSON writes a file of an attempt's folder, 0600, so that it is there whole or not at all, even
// after a power cut. With once it must not exist yet: fs.ErrExist.
func WriteJSON(dir, name string, value any, once bool) error {
	return writeJSON(dir, name, value, once, true)
}

// writeJSON is WriteJSON; what is not lasting may be gone or broken after a power cut.
func writeJSON(dir, name string, value any, once, lasting bool) error {
	raw, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	tmp, err := os.CreateTemp(dir, "."+name+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = tmp.Write(append(raw, '\n'))
	if lasting {
		err = errors.Join(err, tmp.Sync())
	}
	err = errors.Join(err, tmp.Close())
	switch {
	case err != nil:
	case once: // a link, unlike a rename, refuses to take an existing name
		err = os.Link(tmp.Name(), filepath.Join(dir, name))
	default:
		err = os.Rename(tmp.Name(), filepath.Join(dir, name))
	}
	if once || err != nil {
		_ = os.Remove(tmp.Name())
	}
	if err == nil && lasting {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // a path of ours
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// exists reports whether a file of an attempt's folder is there.
func exists(dir, name string) (bool, error) {
	_, err := os.Lstat(filepath.Join(dir, name))
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	}
	return false, fmt.Errorf("look for %s: %w", name, err)
}

// StartTicks returns the start time of a process as the kernel counts it; "" when there is no such
// process.
func StartTicks(pid int) string {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The second field, the name, may hold anything; field 22 counts from after its last parenthesis.
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	const startTime = 22 - 3
	if len(fields) <= startTime || fields[0] == "Z" {
		return ""
	}
	return fields[startTime]
}

// BootID returns what the kernel calls its present boot.
func BootID() string {
	raw, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}
