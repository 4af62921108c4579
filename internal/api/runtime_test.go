package api

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestTheRuntimeFolderFollowsTheEnvironment(t *testing.T) {
	t.Setenv("BULSA_RUNTIME_DIR", "/a")
	t.Setenv("XDG_RUNTIME_DIR", "/b")
	if got := SocketPath("shop"); got != "/a/shop/control.sock" {
		t.Errorf("with BULSA_RUNTIME_DIR: %s", got)
	}
	t.Setenv("BULSA_RUNTIME_DIR", "")
	if got := SocketPath("shop"); got != "/b/bulsa/shop/control.sock" {
		t.Errorf("with XDG_RUNTIME_DIR: %s", got)
	}
	t.Setenv("XDG_RUNTIME_DIR", "")
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	got := SocketPath("shop")
	if os.Getuid() == 0 && got != "/run/bulsa/shop/control.sock" {
		t.Errorf("for root: %s", got)
	}
	if os.Getuid() != 0 && !strings.HasPrefix(got, temporary+"/bulsa-") {
		t.Errorf("for a user: %s", got)
	}
}

func TestAFolderCanBeWrittenWhereItsNearestExistingParentCan(t *testing.T) {
	if dir := t.TempDir(); !CanWrite(dir) || !CanWrite(filepath.Join(dir, "a", "b")) {
		t.Errorf("%s can be written, and so can what is made in it", dir)
	}
	if CanWrite(os.DevNull + "/a") {
		t.Error("nothing can be made in what is no folder")
	}
}

func TestALongSocketPathIsAClearError(t *testing.T) {
	t.Setenv("BULSA_RUNTIME_DIR", "/tmp/"+strings.Repeat("x", 120))
	err := CheckRuntime("shop")
	if err == nil || !strings.Contains(err.Error(), "BULSA_RUNTIME_DIR") {
		t.Errorf("CheckRuntime = %v", err)
	}
}

func TestAnUnknownNameIsAnsweredWithTheKnownOnes(t *testing.T) {
	p := Project{Name: "shop", Services: []Service{{Name: "app", Workers: []Worker{{Name: "app.1"}, {Name: "app.2"}}}, {Name: "db"}}}
	for what, want := range map[string]string{
		"worker or service": `no worker or service "app.9" in project shop; there are: app.1, app.2`,
		"worker":            `no worker "app.9" in project shop; there are: app.1, app.2`,
		"service":           `no service "app.9" in project shop; there are: app, db`,
	} {
		if got := p.NoSuch(what, "app.9"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestTheFolderForTemporaryFilesIsOpenToAll: what others have put there is not ours.
func TestTheFolderForTemporaryFilesIsOpenToAll(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root's folder is not there")
	}
	t.Setenv("BULSA_RUNTIME_DIR", "")
	t.Setenv("XDG_RUNTIME_DIR", "")
	t.Setenv("TMPDIR", t.TempDir())
	root := RuntimeRoot()
	if err := os.Mkdir(root, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(root, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := CheckRuntime("shop"); err == nil || !strings.Contains(err.Error(), "can be written by others (mode 0777)") {
		t.Errorf("open to all: %v", err)
	}
}

func TestWhoseFolderMayBeUsed(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give a folder to another user")
	}
	const other = 4711
	dir := t.TempDir()
	theirs, ours := filepath.Join(dir, "theirs"), filepath.Join(dir, "ours")
	for _, name := range []string{theirs, ours} {
		if err := os.Mkdir(name, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	planted, own := filepath.Join(dir, "planted"), filepath.Join(dir, "own")
	for _, name := range []string{planted, own} {
		if err := os.Symlink(ours, name); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{theirs, planted} {
		if err := os.Lchown(name, other, other); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		dir    string
		chosen string
		good   bool
	}{
		{ours, "", true}, {own, "", true}, {theirs, "", false}, {planted, "", false},
		{theirs, "/x", true}, {planted, "/x", true}, // root looks at a user's projects
	} {
		t.Setenv("BULSA_RUNTIME_DIR", c.chosen)
		t.Setenv("XDG_RUNTIME_DIR", "")
		if err := checkOwner(c.dir); (err == nil) != c.good {
			t.Errorf("%s, chosen %q: %v", filepath.Base(c.dir), c.chosen, err)
		}
	}
}

func TestAPlainFileIsNoFIFO(t *testing.T) {
	path := filepath.Join(t.TempDir(), "daemon.log")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, flags := range []int{os.O_WRONLY | os.O_CREATE, os.O_RDONLY, os.O_RDWR} {
		if _, err := PlainFile(path, flags); err == nil || !strings.Contains(err.Error(), "no ordinary file: remove it") {
			t.Errorf("flags %x: %v", flags, err)
		}
	}
	f, err := PlainFile(path+".1", os.O_WRONLY|os.O_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if info, _ := f.Stat(); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}
