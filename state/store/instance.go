package store

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// instanceName is the file with the ID of the installation.
const instanceName = "instance"

// identify reads the ID of the installation, and makes one where there is none.
func (d *Dir) identify() error {
	path := filepath.Join(d.paths.Dir, instanceName)
	id, err := readInstance(path)
	switch {
	case err == nil:
		d.instance = id
		return nil
	case isUnusable(err):
		report, err := quarantine(path, err)
		if err != nil {
			return err
		}
		d.damage = append(d.damage, report)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	var random [16]byte
	rand.Read(random[:])
	d.instance = hex.EncodeToString(random[:])
	if err := replaceLocked(path, 0o644, []byte(d.instance+"\n")); err != nil {
		return err
	}
	return syncDir(d.paths.Dir)
}

// readInstance returns the ID in a file.
func readInstance(path string) (string, error) {
	line, err := read(path, 1<<10)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	id := bytes.TrimSuffix(line, []byte("\n"))
	if decoded, err := hex.DecodeString(string(id)); err != nil || len(decoded) != 16 {
		return "", fmt.Errorf("read %s: %w: want 32 hexadecimal digits", path, errDamaged)
	}
	return string(id), nil
}

// InstanceAt returns the ID of the installation that has its state in a directory,
// nothing if none has.
func InstanceAt(dir string) string {
	id, err := readInstance(filepath.Join(dir, instanceName))
	if err != nil {
		return ""
	}
	return id
}
