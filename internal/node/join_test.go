package node

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

const joined = `
const cluster = require('cluster');
require('http').createServer((q, a) => a.end('worker ' + (cluster.isWorker && cluster.worker.id) + ' ' + q.socket.remoteAddress)).listen(3000);
process.on('message', (m) => console.log('got', JSON.stringify(m)));
process.send({ cmd: 'MASTER_ID', worker_id: 1 });
`

// serves checks that the worker behind a wrapper serves as one that joined at once.
func serves(t *testing.T, r *rig) {
	t.Helper()
	conn := r.connect(r.key(":3000"))
	if _, body := get(t, conn, "/", `Forwarded: for="192.0.2.7:4711"`); body != "worker 7 192.0.2.7" {
		t.Errorf("body %q", body)
	}
	conn.Close() // Node 18 does not end while a connection is idle, for 5 s
	r.prints(`got {"cmd":"MASTER_ID","master_id":"the-primary"}`)
	if pid := r.channel.PID(); pid == 0 {
		t.Error("the worker's pid is not known")
	}
	if err := r.channel.Disconnect(); err != nil {
		t.Error(err)
	}
	r.until("exited")
}

func TestJoinsLateBehindAShell(t *testing.T) {
	for name, line := range map[string]string{
		"assignment":           "X=1 node app.js; true",
		"helper before it":     `node -p 1 && V=$(node -e 'process.stdout.write("1")') node app.js`,
		"another script first": "node before.js && node app.js",
		"a Node wrapper":       "node node_modules/cross-env/run.js",
	} {
		t.Run(name, func(t *testing.T) {
			eachNode(t, func(t *testing.T, binary string) {
				dir := app(t, joined)
				write(t, dir, "before.js", "")
				write(t, dir, "node_modules/cross-env/run.js", `require('child_process').spawn(process.execPath, ['app.js'], { stdio: 'inherit' })`)
				serves(t, start(t, setup{binary: binary, dir: dir, command: []string{"sh", "-c", line}}))
			})
		})
	}
}

func TestJoinsLateBehindAWrapperWithItsOwnChannel(t *testing.T) {
	eachNode(t, func(t *testing.T, binary string) {
		dir := app(t, joined)
		write(t, dir, "node_modules/tsx/cli.js", `#!/usr/bin/env node
require('child_process').spawn(process.execPath, process.argv.slice(2), { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] })`)
		serves(t, start(t, setup{binary: binary, dir: dir, command: []string{"./node_modules/tsx/cli.js", "app.js"}}))
	})
}

func TestJoinsLateBehindNpm(t *testing.T) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Skip("npm is not on PATH")
	}
	for _, command := range [][]string{{"npm", "--silent", "start"}, {"npm", "exec", "--no", "-c", "node app.js"}} {
		t.Run(strings.Join(command, " "), func(t *testing.T) {
			eachNode(t, func(t *testing.T, binary string) {
				if out, err := exec.Command(binary, npm, "--version").CombinedOutput(); err != nil {
					t.Skipf("this npm does not run on this Node: %s", out)
				}
				dir := app(t, joined)
				write(t, dir, "package.json", `{"scripts":{"start":"node app.js"}}`)
				serves(t, start(t, setup{binary: binary, dir: dir, command: command,
					env: []string{"npm_config_update_notifier=false", "npm_config_cache=" + t.TempDir()}}))
			})
		})
	}
}

func TestPackageScriptRunsWithoutNpm(t *testing.T) {
	eachNode(t, func(t *testing.T, binary string) {
		dir := app(t, joined+`console.log('as', process.env.npm_lifecycle_event, process.env.npm_package_name, process.env.MODE)`)
		write(t, dir, "package.json", `{"name":"shop","scripts":{"start":"MODE=production node app.js"}}`)
		r := start(t, setup{binary: binary, dir: dir, command: []string{"npm", "start"}})
		r.prints("as start shop production")
		if r.cmd.Process.Pid == 0 || filepath.Base(r.cmd.Path) != "node" {
			t.Errorf("started %s", r.cmd.Path)
		}
		serves(t, r)
	})
}

func TestChildrenOfTheApplicationDoNotJoin(t *testing.T) {
	const parent = `
const { spawnSync, fork } = require('child_process'), { Worker } = require('worker_threads');
spawnSync(process.execPath, ['child.js'], { stdio: 'inherit' });
fork('child.js');
new Worker('./thread.js');
`
	for name, command := range map[string][]string{"at once": {"node", "app.js"}, "late": {"sh", "-c", "node app.js; true"}} {
		t.Run(name, func(t *testing.T) {
			eachNode(t, func(t *testing.T, binary string) {
				dir := app(t, parent+joined)
				write(t, dir, "child.js", `
console.log('child', process.argv.length, require('cluster').isWorker, Object.keys(process.env).filter((k) => /BULSA|NODE_OPTIONS|NODE_UNIQUE|NODE_CHANNEL/.test(k)).join());
require('net').createServer().listen(0, () => process.exit());`)
				write(t, dir, "thread.js", `console.log('thread', require('cluster').isWorker, 'BULSA_ID' in process.env)`)
				r := start(t, setup{binary: binary, dir: dir, command: command})
				r.wait("two children", func() bool { return strings.Count(r.output.String(), "child 2 false \n") == 2 })
				r.prints("thread ")
				serves(t, r)
				r.mu.Lock()
				defer r.mu.Unlock()
				if len(r.asks) != 1 {
					t.Errorf("asks %v", r.asks)
				}
			})
		})
	}
}

func TestASecondProcessBehindAWrapperTakesOver(t *testing.T) {
	eachNode(t, func(t *testing.T, binary string) {
		r := start(t, setup{binary: binary, dir: app(t, joined), command: []string{"sh", "-c", "node app.js; node app.js"}})
		r.key(":3000")
		if err := syscall.Kill(r.channel.PID(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		r.until("down")
		r.wait("a second listening", func() bool { return strings.Count(strings.Join(r.facts, " "), "listening") == 2 })
		serves(t, r)
	})
}

// Each has a channel of its own: one that both read would lose messages of both.
func TestTwoProcessesBesideEachOther(t *testing.T) {
	const job = `require('http').createServer((q, a) => a.end('job')).listen(4000); setInterval(() => {}, 1000)`
	for name, command := range map[string][]string{
		"a job in the background": {"sh", "-c", "node job.js & node app.js"},
		"a launcher of two":       {"node", "node_modules/concurrently/run.js"},
	} {
		t.Run(name, func(t *testing.T) {
			eachNode(t, func(t *testing.T, binary string) {
				dir := app(t, joined)
				write(t, dir, "job.js", job)
				write(t, dir, "node_modules/concurrently/run.js", `
for (const file of ['job.js', 'app.js']) require('child_process').spawn(process.execPath, [file], { stdio: 'inherit' })`)
				r := start(t, setup{binary: binary, dir: dir, command: command})
				r.until("listening :3000")
				r.until("listening :4000")
				r.prints(`got {"cmd":"MASTER_ID","master_id":"the-primary"}`)
				bodies := map[string]bool{}
				for i, c := range r.all {
					r.channel = c
					for _, port := range []string{":3000", ":4000"} {
						if conn, err := c.Connect(within(t), r.key(port)); err == nil {
							_, body := get(t, conn, "/")
							bodies[fmt.Sprint(i, port, body)] = true
							conn.Close()
						}
					}
				}
				if len(bodies) != 2 {
					t.Errorf("answers %v; want one of each process", bodies)
				}
			})
		})
	}
}

// A launcher whose name nobody knows joins, too, and what it starts after it.
func TestTheApplicationOfAnUnknownLauncherJoins(t *testing.T) {
	const port = `console.log('told', process.env.PORT, Object.keys(process.env).filter((k) => /BULSA_[^SIMW]|NODE_OPTIONS/.test(k)).join())`
	for name, c := range map[string]struct{ launcher, app string }{
		"by spawn":      {`require('child_process').spawn(process.execPath, ['app.js'], { stdio: 'inherit' })`, joinedLate},
		"by spawnSync":  {`require('child_process').spawnSync(process.execPath, ['app.js'], { stdio: 'inherit' })`, joinedLate},
		"by exec":       {`require('child_process').exec('"' + process.execPath + '" app.js').stdout.pipe(process.stdout)`, joinedLate},
		"by a launcher": {`require('child_process').spawn('sh', ['-c', 'node node_modules/tsx/cli.js'], { stdio: 'inherit' })`, joinedLate},
	} {
		for _, command := range [][]string{{"node", "start.js"}, {"sh", "-c", "node start.js; true"}} {
			t.Run(name+" of "+command[0], func(t *testing.T) {
				eachNode(t, func(t *testing.T, binary string) {
					dir := app(t, port+c.app)
					write(t, dir, "start.js", c.launcher)
					write(t, dir, "node_modules/tsx/cli.js", `require('child_process').spawn(process.execPath, ['app.js'], { stdio: 'inherit' })`)
					r := start(t, setup{binary: binary, dir: dir, command: command, port: 3000, env: []string{"PORT=40123", "BULSA_INSTANCE=app.1#1"}})
					r.prints("told 3000 \n")
					conn := r.connect(r.key(":3000"))
					if _, body := get(t, conn, "/", `Forwarded: for="192.0.2.7:4711"`); body != "worker 7 192.0.2.7" {
						t.Errorf("body %q", body)
					}
				})
			})
		}
	}
}

const joinedLate = `
require('http').createServer((q, a) => a.end('worker ' + require('cluster').worker.id + ' ' + q.socket.remoteAddress)).listen(3000);
`

// What speaks with a launcher over Node's own channel keeps it, and what has
// Node's cluster already cannot join. They are told the public port as all
// others are, and listen where only this worker does.
func TestWhatCannotJoinListensAtItsOwnPort(t *testing.T) {
	const server = `
console.log('told', process.env.PORT);
process.on('message', (m) => console.log('got', m));
const server = require('http').createServer().listen(LISTEN, () => console.log('listens on', server.address().port));
`
	for name, c := range map[string]struct{ launcher, app, prints string }{
		"it is forked": {`require('child_process').fork('app.js').send('hello')`, server, "got hello"},
		"it has the cluster": {`require('child_process').spawn(process.execPath, ['app.js'], { stdio: 'inherit' })`,
			"require('cluster');" + server, "told 3000"},
		"another's worker": {`require('child_process').spawnSync(process.execPath, ['primary.js'], { stdio: 'inherit' })`, server, "told 3000"},
	} {
		for _, listen := range []string{"process.env.PORT", "{ port: 3000, host: '127.0.0.1' }"} {
			t.Run(name+" "+listen, func(t *testing.T) {
				eachNode(t, func(t *testing.T, binary string) {
					free, err := net.Listen("tcp", "127.0.0.1:0")
					if err != nil {
						t.Fatal(err)
					}
					own := strconv.Itoa(free.Addr().(*net.TCPAddr).Port)
					free.Close()
					dir := app(t, strings.Replace(c.app, "LISTEN", listen, 1))
					write(t, dir, "start.js", c.launcher)
					write(t, dir, "primary.js", `const c = require('cluster'); c.isPrimary ? c.fork() : require('./app.js')`)
					r := start(t, setup{binary: binary, dir: dir, command: []string{"node", "start.js"}, port: 3000, env: []string{"PORT=" + own, "BULSA_INSTANCE=app.1#1"}})
					r.prints("listens on " + own)
					r.prints(c.prints)
					if len(r.asks) != 0 {
						t.Errorf("asks %v", r.asks)
					}
				})
			})
		}
	}
}

func TestAProgramWithoutServerEndsByItself(t *testing.T) {
	for name, command := range map[string][]string{"at once": {"node", "app.js"}, "late": {"sh", "-c", "node app.js && true"}} {
		t.Run(name, func(t *testing.T) {
			eachNode(t, func(t *testing.T, binary string) {
				r := start(t, setup{binary: binary, dir: app(t, `setTimeout(() => console.log('migrated'), 10)`), command: command})
				r.until("exited")
				r.prints("migrated")
				if !r.cmd.ProcessState.Success() {
					t.Errorf("exit: %v", r.cmd.ProcessState)
				}
			})
		})
	}
}

func TestUsersOwnNodeOptionsStay(t *testing.T) {
	eachNode(t, func(t *testing.T, binary string) {
		dir := app(t, joined+`console.log('options', process.env.NODE_OPTIONS, global.first)`)
		write(t, dir, "my own.js", "global.first = 'loaded'")
		own := `--require "` + filepath.Join(dir, "my own.js") + `"`
		r := start(t, setup{binary: binary, dir: dir, env: []string{"NODE_OPTIONS=" + own}})
		r.prints("options " + own + " loaded")
		serves(t, r)
	})
}

func TestForkingApplicationBecomesAWorker(t *testing.T) {
	eachNode(t, func(t *testing.T, binary string) {
		r := start(t, setup{binary: binary, dir: app(t, `
if (require('cluster').isMaster) { require('cluster').fork(); } else {`+joined+`}`)})
		serves(t, r)
	})
}

// Links in node_modules/.bin lead to files that load others from their own folder.
func TestALinkToAProgramIsFollowed(t *testing.T) {
	const program = `require('./lib')`
	for name, late := range map[string]bool{"at once": false, "late": true} {
		t.Run(name, func(t *testing.T) {
			eachNode(t, func(t *testing.T, binary string) {
				dir := app(t, "")
				write(t, dir, "node_modules/serve/cli.js", program)
				write(t, dir, "node_modules/serve/lib.js", joined)
				link(t, "../serve/cli.js", filepath.Join(dir, "node_modules", ".bin", "serve"))
				command := []string{"node", "node_modules/.bin/serve"}
				if late {
					command = []string{"sh", "-c", "node node_modules/.bin/serve; true"}
				}
				serves(t, start(t, setup{binary: binary, dir: dir, command: command}))
			})
		})
	}
}

// So do modules that are loaded after a server listens at the path of a dead worker's socket.
func TestALinkIsFollowedWhenAStaleSocketWasThere(t *testing.T) {
	eachNode(t, func(t *testing.T, binary string) {
		dir := app(t, strings.ReplaceAll(joined, "(3000)", "(3000, () => require('./linked/late.js'))"))
		write(t, dir, "real/late.js", `console.log(require('./beside'))`)
		write(t, dir, "real/beside.js", `module.exports = 'found beside'`)
		link(t, "../real/late.js", filepath.Join(dir, "linked", "late.js"))
		socket := filepath.Join(dir, "w.sock")
		stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		stale.SetUnlinkOnClose(false)
		stale.Close()
		start(t, setup{binary: binary, dir: dir, mode: "listen", socket: socket}).prints("found beside")
	})
}

func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}
