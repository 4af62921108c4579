package listen

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func port(ln net.Listener) int { return ln.Addr().(*net.TCPAddr).Port }

func open(t *testing.T, host string, p int) net.Listener {
	t.Helper()
	ln, err := Open(t.Context(), "tcp", host, p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

func TestAnEmptyHostAnswersOnBothFamilies(t *testing.T) {
	ln := open(t, "", 0)
	for _, host := range []string{"127.0.0.1", "::1"} {
		if host == "::1" && !hasIPv6() {
			continue
		}
		c, err := net.Dial("tcp", net.JoinHostPort(host, strconv.Itoa(port(ln))))
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
}

func hasIPv6() bool {
	ln, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		return false
	}
	_ = ln.Close()
	return true
}

func TestATakenPortIsSaidToBeInUseAndByWhom(t *testing.T) {
	ln := open(t, "127.0.0.1", 0)
	_, err := Open(t.Context(), "tcp", "", port(ln))
	var inUse *InUse
	if !errors.As(err, &inUse) {
		t.Fatalf("got %v", err)
	}
	if !strings.Contains(err.Error(), "port "+strconv.Itoa(port(ln))+" is in use") || !strings.Contains(err.Error(), "choose another port") {
		t.Fatal(err)
	}
	if pid, _ := holder("tcp", port(ln)); pid != 0 && inUse.PID != os.Getpid() {
		t.Fatalf("PID %d, not %d: %v", inUse.PID, os.Getpid(), err)
	}
}

func TestATakenUDPPortIsSaidToBeInUse(t *testing.T) {
	pc, err := OpenPacket(t.Context(), "udp", "127.0.0.1", 0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	_, err = OpenPacket(t.Context(), "udp", "127.0.0.1", pc.LocalAddr().(*net.UDPAddr).Port, false)
	var inUse *InUse
	if !errors.As(err, &inUse) || inUse.Network != "udp" {
		t.Fatalf("got %v", err)
	}
}

func TestErrorsSayWhatToChange(t *testing.T) {
	for _, c := range []struct {
		host, want string
		port       int
	}{
		{"", "from 1 to 65535", 70000},
		{"203.0.113.9", "does not have the address", 8080},
	} {
		_, err := Open(context.Background(), "tcp", c.host, c.port)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s:%d: %v", c.host, c.port, err)
		}
	}
}

func TestALeftOverSocketFileIsReplacedAndALiveOneIsNot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	dead, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = dead.Close()
	live, err := OpenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	var inUse *InUse
	if _, err := OpenUnix(path); !errors.As(err, &inUse) {
		t.Fatalf("got %v", err)
	}
}

func TestAFileThatIsNoSocketIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(path, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenUnix(path); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Fatalf("got %v", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "data" {
		t.Fatal("the file was touched")
	}
}

func TestALongPathIsExplained(t *testing.T) {
	if _, err := OpenUnix("/tmp/" + strings.Repeat("x", 200)); err == nil || !strings.Contains(err.Error(), "shorter") {
		t.Fatalf("got %v", err)
	}
}

func TestAnAddressThatOthersMayHaveTooIsShared(t *testing.T) {
	open := func(port int, reuse bool) (net.PacketConn, error) {
		return OpenPacket(t.Context(), "udp4", "127.0.0.1", port, reuse)
	}
	one, err := open(0, true)
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	port := one.LocalAddr().(*net.UDPAddr).Port
	two, err := open(port, true)
	if err != nil {
		t.Fatalf("the second of two that allow it: %v", err)
	}
	two.Close()
	if three, err := open(port, false); err == nil {
		three.Close()
		t.Error("one that does not allow it has the address, too")
	}
}
