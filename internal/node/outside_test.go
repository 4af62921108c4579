package node

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestOutsideTakesBackWhatPrepareGives(t *testing.T) {
	for _, c := range []struct {
		name    string
		preload string
		kind    Kind
		mode    string
		known   bool // that the application is a Node program
		own     []string
		port    string
	}{
		{"a worker from its first moment", "/run/bulsa.cjs", KindNode, "auto", false, nil, "80"},
		{"options of its own", "/run/bulsa.cjs", KindNode, "listen", false, []string{"NODE_OPTIONS=--no-warnings --title x"}, "80"},
		{"a path that is quoted", `/a "b\ c/bulsa.cjs`, KindNode, "auto", false, []string{"NODE_OPTIONS=--no-warnings"}, "80"},
		{"npm that has led to Node", "/run/bulsa.cjs", KindWrapper, "auto", true, nil, "80"},
		{"another program", "/run/bulsa.cjs", KindOther, "auto", false, nil, "40001"},
		{"no cluster", "/run/bulsa.cjs", KindNode, "port", false, []string{"NODE_OPTIONS=--require ./own.cjs"}, "40001"},
		{"bulsa as the child of a Node program", "/run/bulsa.cjs", KindNode, "off", false, []string{"NODE_CHANNEL_FD=9", "NODE_UNIQUE_ID=2"}, "40001"},
	} {
		env := append([]string{"GREETING=a=b", "PORT=40001"}, c.own...)
		s, conn, err := Prepare(Command{Args: []string{"node", "app.js"}, Kind: c.kind}, c.mode, PrepareOptions{ID: 5, Env: env, Preload: c.preload, Gate: "/gate", Port: 80, Socket: "/s", Client: "header", Loop: true})
		if err != nil {
			t.Fatal(err)
		}
		if conn != nil {
			conn.Close()
		}
		closeAll(s.FDs)
		worker := append(slices.DeleteFunc(env, func(v string) bool {
			name, _, _ := strings.Cut(v, "=")
			return lookup(s.Env, name) != ""
		}), append(s.Env, "LISTEN_FDS=1", "LISTEN_PID=7")...)

		want := []string{"GREETING=a=b", "NODE_APP_INSTANCE=0", "PORT=" + c.port}
		for _, v := range c.own {
			if strings.HasPrefix(v, "NODE_OPTIONS=") {
				want = append(want, v)
			}
		}
		got := Outside(worker, c.known)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: of %q comes %q; want %q", c.name, worker, got, want)
		}
	}
}

func closeAll(files map[int]*os.File) {
	for _, f := range files {
		f.Close()
	}
}
