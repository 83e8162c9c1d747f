package agent

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/upgradegate/upgradegate/upgrade"
)

// The files of an agent's folder.
const (
	keyFile  = "agent.key"  // PKCS #8 in PEM, 0600
	nameFile = "agent.json" // who it is, and to which gate
)

// identity is who the agent is to one gate. Name is empty until it is enrolled.
type identity struct {
	Name upgrade.AgentName `json:"name"`
	Gate string            `json:"gate"`
	key  ed25519.PrivateKey
}

// loadIdentity reads the folder, and makes the folder and a key where there is none.
func loadIdentity(dir, gate string) (identity, error) {
	id := identity{}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return id, fmt.Errorf("make the agent's folder: %w", err)
	}
	data, err := os.ReadFile(filepath.Join(dir, nameFile)) //nolint:gosec // the folder is the operator's own
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return id, fmt.Errorf("read who this agent is: %w", err)
	default:
		if err := json.Unmarshal(data, &id); err != nil {
			return id, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: filepath.Join(dir, nameFile) + " is broken", Hint: "remove it and enrol the agent again", Cause: err}
		}
	}
	if id.Gate != "" && id.Gate != gate {
		return id, &upgrade.Error{
			Code: upgrade.CodeConflict, Msg: fmt.Sprintf("the folder %s is that of agent %s of %s, not of %s", dir, id.Name, id.Gate, gate),
			Hint: "give another folder with --data, or correct --gate",
		}
	}
	id.Gate = gate
	id.key, err = loadKey(filepath.Join(dir, keyFile))
	return id, err
}

func loadKey(file string) (ed25519.PrivateKey, error) {
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(file)
	}
	if err != nil {
		return nil, fmt.Errorf("read the agent's key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("others can read the key %s", file), Hint: "chmod 600 " + file + ", and enrol the agent again if others may have"}
	}
	text, err := os.ReadFile(file) //nolint:gosec // the folder is the operator's own
	if err != nil {
		return nil, fmt.Errorf("read the agent's key: %w", err)
	}
	broken := &upgrade.Error{Code: upgrade.CodeInvalid, Msg: file + " is no Ed25519 key in PEM form", Hint: "remove it and enrol the agent again"}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, broken
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, broken
	}
	return key, nil
}

// makeKey makes a key that is on the disk whole or not at all.
func makeKey(file string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return key, writeWhole(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// save keeps that the agent is enrolled.
func (id identity) save(dir string) error {
	data, err := json.Marshal(id)
	if err != nil {
		return fmt.Errorf("keep who this agent is: %w", err)
	}
	return writeWhole(filepath.Join(dir, nameFile), append(data, '\n'))
}

// writeWhole writes a file that only its owner may read, so that it is never seen half.
func writeWhole(file string, data []byte) (err error) {
	out, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*") // made with 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", file, errors.Join(err, os.Remove(out.Name())))
		}
	}()
	if _, err = out.Write(data); err != nil {
		return errors.Join(err, out.Close())
	}
	if err = out.Sync(); err != nil {
		return errors.Join(err, out.Close())
	}
	if err = out.Close(); err != nil {
		return err
	}
	return os.Rename(out.Name(), file)
}
