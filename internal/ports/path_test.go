package ports

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bulsa/internal/engine"
)

func onPath(t *testing.T) (*book, engine.Ask) {
	t.Helper()
	b := newBook(t)
	a := engine.Ask{Network: "unix", Path: filepath.Join(t.TempDir(), "app.sock")}
	b.claim(a)
	return b, a
}

func reached(path string) bool {
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
	}
	return err == nil
}

func TestAPathThatAWorkerRemovesBeforeItListensIsBoundAgain(t *testing.T) {
	b, a := onPath(t)
	if err := os.Remove(a.Path); err != nil {
		t.Fatal(err)
	}
	a.Worker = "app.2"
	b.claim(a)
	if !reached(a.Path) {
		t.Error("the path leads nowhere")
	}
	b.Close()
	if _, err := os.Lstat(a.Path); err == nil {
		t.Error("the socket's file is left behind")
	}
}

func TestAPathThatSomebodyRemovesIsBoundAgainWithItsRights(t *testing.T) {
	b, a := onPath(t)
	if err := os.Chmod(a.Path, 0o606); err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	b.bindAgain(b.open[askID(wish(a))]) // a look: it is there, and has these rights
	b.mu.Unlock()
	if err := os.Remove(a.Path); err != nil {
		t.Fatal(err)
	}
	deadline, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !reached(a.Path) {
		if deadline.Err() != nil {
			t.Fatal("the path leads nowhere")
		}
	}
	b.mu.Lock() // until the rights are given back
	defer b.mu.Unlock()
	if info, err := os.Stat(a.Path); err != nil || info.Mode().Perm() != 0o606 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestAPathThatSomethingElseHasTakenIsLeftAndTold(t *testing.T) {
	b, a := onPath(t)
	if err := os.Remove(a.Path); err != nil {
		t.Fatal(err)
	}
	other, err := net.Listen("unix", a.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	a.Worker = "app.2"
	b.claim(a)
	b.Close()
	if _, err := os.Lstat(a.Path); err != nil {
		t.Error("the other program's socket is gone")
	}
	if len(b.notices) != 1 || !strings.Contains(b.notices[0], "something else was put there") {
		t.Errorf("notices: %q", b.notices)
	}
}
