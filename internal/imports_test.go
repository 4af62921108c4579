package internal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "bulsa/internal/"

// room is one row of the table in ARCHITECTURE.md: what it may import of the
// other rooms, which packages it must never touch, and which rooms it must not
// reach, not even through others.
type room struct {
	may   []string
	never []string
	far   []string
	why   string
}

var anything = []string{"*"}

// outside are the rooms that show and serve what the supervisor publishes.
var outside = []string{"proxy", "admin", "api/client", "inner", "cli", "daemon", "engine/process", "engine/docker", "engine/external"}

var pure = []string{"os", "os/exec", "net", "net/http", "sync", "sync/atomic", "syscall"}

var rooms = map[string]room{
	"spec":              {never: pure, why: "what the user asked for is plain data; files are read in compose, daemon and cli"},
	"compose":           {may: []string{"spec"}, why: "it turns files into a spec and knows nothing that runs"},
	"worker":            {may: []string{"spec"}, never: pure, why: "the life of a worker is decided, not done, here"},
	"doctor":            {never: pure, why: "findings follow from a table of measurements, and from nothing else"},
	"rollout":           {may: []string{"worker"}, never: pure, why: "plans are pure"},
	"balance":           {may: []string{"upstream"}, never: []string{"os"}, why: "picking takes no lock and does no I/O"},
	"eventloop":         {never: pure, why: "figures and verdicts follow from what others looked at"},
	"engine":            {may: []string{"api", "spec", "eventloop", "upstream"}, far: []string{"api/client", "inner"}, why: "the contract depends on no engine"},
	"engine/enginetest": {may: []string{"engine", "spec"}, why: "the suite tests the contract alone"},
	"engine/process":    {may: []string{"engine", "spec", "node", "node/inspector", "node/libuv", "eventloop", "logs", "proc", "relay", "shim", "tcpdiag", "upstream"}, why: "engines do not know each other, nor who uses them"},
	"engine/docker":     {may: []string{"api", "engine", "spec", "logs", "inner", "proc", "upstream"}, why: "engines do not know each other, nor who uses them"},
	"engine/external":   {may: []string{"engine", "spec"}, why: "engines do not know each other, nor who uses them"},
	"dockertest":        {why: "a dockerd for tests stands alone"},
	"node":              {may: []string{"eventloop", "proc", "upstream"}, why: "Node's protocol stands alone, but for the words that a worker's answer is given in"},
	"relay":             {never: []string{"os", "net"}, why: "what packages say to their primary needs no process and no socket"},
	"node/inspector":    {why: "it knows a process by its number, and nothing of workers"},
	"node/libuv":        {may: []string{"eventloop"}, why: "reading another process's memory needs to know nothing of bulsa"},
	"shim":              {never: []string{"os/exec", "net", "net/http", "regexp", "encoding/json"}, why: "it is initialized before all that costs time"},
	"upstream":          {why: "what engines and the data path agree on depends on neither"},
	"proc":              {why: "it asks the kernel, and knows of no worker"},
	"tcpdiag":           {why: "it asks the kernel, and knows of no worker"},
	"listen":            {why: "sockets stand alone"},
	"certs":             {why: "certificates stand alone; who shows them is the business of ports"},
	"api":               {never: []string{"net", "net/http"}, why: "the words on the wire stand alone; who says them is api/client"},
	"api/client":        {may: []string{"api"}, why: "it asks a running project and knows nothing of what runs it"},
	"logs":              {why: "logs stand alone"},
	"inner":             {may: []string{"api"}, far: []string{"api/client"}, why: "what two bulsas say to each other depends on neither"},
	"probe":             {may: []string{"spec", "worker", "engine"}, far: []string{"api/client"}, why: "a check is run once; when, is not its business"},
	"supervisor":        {may: []string{"api", "spec", "worker", "rollout", "balance", "engine", "eventloop", "probe"}, far: outside, why: "it knows the contract of engines, no engine, and not who shows what it publishes"},
	"proxy/h1":          {never: append([]string{"time"}, pure...), why: "a parser gets bytes and gives bytes"},
	"proxy/retry":       {may: []string{"balance"}, never: []string{"os", "os/exec", "net", "net/http", "syscall"}, why: "decisions about a request's tries are made without a socket and without a clock"},
	"proxy/accesslog":   {why: "lines are written for whoever counts answers; it knows no server"},
	"proxy/flood":       {why: "frames are counted below whoever speaks HTTP/2"},
	"proxy/limit":       {why: "it counts; what follows is decided where a client is admitted or served"},
	"proxy/stats":       {why: "counters are told, and decide nothing"},
	"proxy/reply":       {may: []string{"proxy/h1"}, why: "an answer is written for whoever refuses; it knows no route"},
	"proxy":             {may: []string{"balance", "proxy/accesslog", "proxy/flood", "proxy/h1", "proxy/limit", "proxy/reply", "proxy/retry", "proxy/stats", "upstream"}, far: []string{"spec", "engine", "supervisor", "admin"}, why: "the data path gets a table and gives counters"},
	"ports":             {may: []string{"balance", "certs", "engine", "listen", "proxy", "proxy/accesslog", "spec"}, far: []string{"supervisor", "admin", "api/client"}, why: "it opens what engines ask for and tables what the proxy serves; it knows no engine and not who fills the pools"},
	"admin":             {may: []string{"api"}, far: []string{"api/client", "engine", "cli", "daemon"}, why: "it shows and asks; it builds nothing"},
	"view":              {may: []string{"admin", "api", "engine", "eventloop", "logs", "proxy/stats", "spec", "supervisor", "worker"}, never: pure, why: "pictures for the API are drawn from what others publish, and from nothing else"},
	"sample":            {may: []string{"api", "doctor", "logs", "proxy/stats", "supervisor"}, far: []string{"admin", "daemon"}, why: "it keeps what is measured, and does not ask who reads it"},
	"diagnose":          {may: []string{"admin", "api", "doctor", "engine", "eventloop", "node/inspector", "proxy/stats", "relay", "supervisor", "worker"}, far: []string{"engine/process", "engine/docker", "daemon", "cli"}, why: "it looks into processes by an interface; which engine runs them is the root's business"},
	"daemon":            {may: anything, why: "the composition root"},
	"lab":               {may: []string{"api", "api/client"}, why: "experiments use bulsa as its users do"},
	"cli":               {may: []string{"api", "api/client", "spec", "compose", "daemon", "lab"}, why: "commands talk to the running project through its API"},
}

type goPackage struct {
	ImportPath string
	Imports    []string
}

// TestRoomsImportOnlyWhatTheyMay keeps the house as ARCHITECTURE.md draws it.
func TestRoomsImportOnlyWhatTheyMay(t *testing.T) {
	reach := reached(packages(t))
	for _, p := range packages(t) {
		name, ok := strings.CutPrefix(p.ImportPath, module)
		if !ok {
			continue
		}
		r, known := rooms[name]
		if !known {
			t.Errorf("%s is not in the table: add it there and to ARCHITECTURE.md", name)
			continue
		}
		for _, imported := range p.Imports {
			other, internal := strings.CutPrefix(imported, module)
			switch {
			case internal && !slices.Contains(r.may, other) && !slices.Contains(r.may, "*"):
				t.Errorf("%s imports %s, but may import of the other rooms only %q: %s", name, other, r.may, r.why)
			case slices.Contains(r.never, imported):
				t.Errorf("%s imports %s, which it must never: %s", name, imported, r.why)
			case other == "daemon" && name != "cli":
				t.Errorf("%s imports daemon: only cli starts it", name)
			}
		}
		for _, other := range r.may {
			if other != "*" && !slices.Contains(p.Imports, module+other) {
				t.Errorf("%s may import %s and does not: take the permission away, here and in ARCHITECTURE.md", name, other)
			}
		}
		for _, other := range r.far {
			if path := reach[module+name][module+other]; path != "" {
				t.Errorf("%s reaches %s (%s), which it must not: %s", name, other, strings.ReplaceAll(path, module, ""), r.why)
			}
		}
	}
}

// reached says for each package which others it imports, directly or through
// others, and by which way.
func reached(all []goPackage) map[string]map[string]string {
	imports := map[string][]string{}
	for _, p := range all {
		imports[p.ImportPath] = p.Imports
	}
	reach := map[string]map[string]string{}
	for _, p := range all {
		ways := map[string]string{p.ImportPath: p.ImportPath}
		for queue := []string{p.ImportPath}; len(queue) > 0; queue = queue[1:] {
			for _, next := range imports[queue[0]] {
				if _, ours := imports[next]; ours && ways[next] == "" {
					ways[next] = ways[queue[0]] + " > " + next
					queue = append(queue, next)
				}
			}
		}
		reach[p.ImportPath] = ways
	}
	return reach
}

// packages lists the packages of the module with what their non-test files import.
func packages(t *testing.T) []goPackage {
	t.Helper()
	return list[goPackage](t, nil, "-json=ImportPath,Imports", "./...")
}

// list is what go list tells in JSON, in an environment with env.
func list[T any](t *testing.T, env []string, args ...string) []T {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []T
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var one T
		err := dec.Decode(&one)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
}
