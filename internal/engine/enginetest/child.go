package enginetest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"bulsa/internal/spec"
)

// programVariable makes the test binary act as one of the programs.
const programVariable = "ENGINETEST_PROGRAM"

// Main is the TestMain of a package that runs the suite: the test binary is
// the worker too.
//
//	func TestMain(m *testing.M) { enginetest.Main(m) }
//
// What is given besides is called after the last test.
func Main(m *testing.M, after ...func() error) {
	program := os.Getenv(programVariable)
	if program == "" {
		code := m.Run()
		for _, clean := range after {
			if err := clean(); err != nil {
				fmt.Fprintln(os.Stderr, "error:", err)
				code = 1
			}
		}
		os.Exit(code)
	}
	name, argument, _ := strings.Cut(program, " ")
	run := programs()[name]
	if run == nil {
		fmt.Fprintln(os.Stderr, "no such program: "+name)
		os.Exit(2)
	}
	run(argument)
	os.Exit(0)
}

// Command is what a service executes to run one of the programs:
//
//	obedient          ends at SIGTERM
//	stubborn FILE     ignores SIGTERM, and so does its child, whose pid it writes into FILE
//	parent FILE       ends at once and leaves such a child in its group
//	escaped FILE      leaves such a child in a session of its own
//	exit N            ends with status N
//	systemd           ends with status 7 at SIGRTMIN+3
//	orphans N         leaves N children of dead children behind, and ends at SIGTERM
//	http              answers on $PORT
//	fixed PORT        answers on PORT, whatever $PORT says
//	socket            answers on the socket of LISTEN_FDS
//	escaped-http      leaves a child in a session of its own that answers on $PORT
//	holder FILE       holds the socket of LISTEN_FDS without accepting from it, and answers on $PORT when FILE exists
//	say FILE          copies FILE to its output
func Command(t testing.TB, program string) spec.Command {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return spec.Command{
		Args: []string{self}, Dir: t.TempDir(),
		Env: []string{"GORACE=atexit_sleep_ms=0", "GOCOVERDIR=" + os.TempDir(), "PATH=" + os.Getenv("PATH"), programVariable + "=" + program},
	}
}

func programs() map[string]func(string) {
	return map[string]func(string){
		"obedient": func(string) { awaitTerm() },
		"systemd":  func(string) { await(syscall.Signal(37)); os.Exit(7) },
		"stubborn": func(file string) { leave(file, false); endure(file) },
		"parent":   func(file string) { leave(file, false) },
		"escaped":  func(file string) { leave(file, true); awaitTerm() },
		"deaf":     endure,
		"exit":     func(status string) { n, _ := strconv.Atoi(status); os.Exit(n) },
		"orphans":  orphans,
		"nothing":  func(string) {},
		"http":     func(string) { answer(net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))) },
		"fixed":    func(port string) { answer(net.Listen("tcp", "127.0.0.1:"+port)) },
		"socket":   func(string) { answer(givenSocket()) },
		"holder":   hold,

		"escaped-http": func(string) {
			child := again("http")
			child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			if err := child.Start(); err != nil {
				fail(err)
			}
			awaitTerm()
		},
		"say": say,
	}
}

func awaitTerm() { await(syscall.SIGTERM) }

func await(s os.Signal) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, s)
	fmt.Println("ready")
	<-asked
}

// endure ignores SIGTERM and says so by writing its pid into FILE.self.
func endure(file string) {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT)
	publish(file+".self", os.Getpid())
	time.Sleep(time.Hour)
}

// leave starts a deaf child and waits until it is deaf.
func leave(file string, ownSession bool) {
	child := again("deaf " + file + ".child")
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: ownSession}
	if err := child.Start(); err != nil {
		fail(err)
	}
	awaitFile(file + ".child.self")
	publish(file, child.Process.Pid)
}

// again is this binary as another program.
func again(program string) *exec.Cmd {
	c := exec.Command("/proc/self/exe")
	if self, err := os.Executable(); err == nil {
		c.Path = self
	}
	c.Env = append(os.Environ(), programVariable+"="+program)
	return c
}

// publish writes a number so that no reader sees half of it.
func publish(file string, n int) {
	temporary := filepath.Join(filepath.Dir(file), "."+filepath.Base(file))
	if err := os.WriteFile(temporary, []byte(strconv.Itoa(n)), 0o600); err != nil {
		fail(err)
	}
	if err := os.Rename(temporary, file); err != nil {
		fail(err)
	}
}

func orphans(count string) {
	n, _ := strconv.Atoi(count)
	line := fmt.Sprintf("i=0; while [ $i -lt %d ]; do (true & true & ); i=$((i+2)); done", n)
	if err := exec.Command("/bin/sh", "-c", line).Run(); err != nil {
		fail(err)
	}
	fmt.Println("left")
	awaitTerm()
}

func answer(l net.Listener, err error) {
	if err != nil {
		fail(err)
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "worker %s at %s", os.Getenv("BULSA_WORKER"), l.Addr())
	})
	fail(http.Serve(l, handler))
}

// givenSocket takes the first socket of LISTEN_FDS, as sd_listen_fds(3) says.
func givenSocket() (net.Listener, error) {
	if os.Getenv("LISTEN_FDS") != "1" || os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil, fmt.Errorf("no socket for pid %d: LISTEN_FDS=%s LISTEN_PID=%s", os.Getpid(), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_PID"))
	}
	return net.FileListener(os.NewFile(3, os.Getenv("LISTEN_FDNAMES")))
}

// hold has the given socket under two numbers and close-on-exec, as programs do that
// use it.
func hold(file string) {
	l, err := givenSocket()
	if err != nil {
		fail(err)
	}
	fmt.Println("holds it")
	awaitFile(file)
	answer(net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT")))
	l.Close()
}

func awaitFile(file string) {
	for {
		if _, err := os.Stat(file); err == nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func say(file string) {
	f, err := os.Open(file)
	if err != nil {
		fail(err)
	}
	w := bufio.NewWriter(os.Stdout)
	if _, err := io.Copy(w, f); err != nil {
		fail(err)
	}
	w.Flush()
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "error:", err)
	os.Exit(1)
}
