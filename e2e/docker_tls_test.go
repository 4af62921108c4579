package e2e

import (
	"crypto/tls"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDockerIsFoundOverTLS: by DOCKER_HOST with a folder of certificates, and by a
// context of docker's; without the client's certificate it is refused.
func TestDockerIsFoundOverTLS(t *testing.T) {
	t.Parallel()
	w, _ := newDockerWorld(t)
	a := newAuthority(t)
	serverCert, serverKey := a.pair(time.Time{})
	pair, err := tls.X509KeyPair(serverCert, serverKey)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: a.pool, ClientAuth: tls.RequireAndVerifyClientCert})
	if err != nil {
		t.Fatal(err)
	}
	engine := &wire{target: strings.TrimPrefix(dockerd.Get(t).Host, "unix://")}
	engine.carry(l)
	t.Cleanup(engine.cut)
	host := "tcp://" + l.Addr().String()
	cert, key := a.pair(time.Time{})
	folder := filepath.Dir(w.write("certs/ca.pem", string(a.pem)))
	w.write("certs/cert.pem", string(cert))
	w.write("certs/key.pem", string(key))
	bare := filepath.Dir(w.write("bare/ca.pem", string(a.pem)))

	plainEnv := w.env
	w.env = append(plainEnv, "DOCKER_HOST="+host, "DOCKER_TLS_VERIFY=1", "DOCKER_CERT_PATH="+folder)
	w.runsOver(t, "by-host")

	config := t.TempDir()
	create := exec.Command("docker", "context", "create", "safe", "--docker",
		"host="+host+",ca="+filepath.Join(folder, "ca.pem")+",cert="+filepath.Join(folder, "cert.pem")+",key="+filepath.Join(folder, "key.pem"))
	create.Env = append(os.Environ(), "DOCKER_CONFIG="+config)
	if out, err := create.CombinedOutput(); err != nil {
		t.Fatalf("docker context create: %v\n%s", err, out)
	}
	w.env = append(plainEnv, "DOCKER_HOST=", "DOCKER_CONFIG="+config, "DOCKER_CONTEXT=safe")
	w.runsOver(t, "by-context")

	w.write("bare.yaml", "services:\n  app:\n    image: "+baseImage+"\n")
	w.env = append(plainEnv, "DOCKER_HOST="+host, "DOCKER_TLS_VERIFY=1", "DOCKER_CERT_PATH="+bare)
	if r := w.do("-f", "bare.yaml", "up"); r.status == 0 || strings.Count(r.stderr, "\n") > 1 || !strings.Contains(r.stderr, "cert.pem") && !strings.Contains(r.stderr, "certificate required") {
		t.Errorf("without a certificate: status %d: %s", r.status, r.stderr)
	}
}

// runsOver runs one container through the engine that the environment names.
func (w *world) runsOver(t *testing.T, name string) {
	t.Helper()
	address := "127.0.0.1:" + freePort(t)
	w.ready("run", "--engine", "docker", "--name", name, "-p", address+":3000", "--stop-timeout", "1s", "--admin", "off",
		baseImage, "node", "-e", "require('http').createServer((q, r) => r.end('safe')).listen(process.env.PORT)")
	if code, body := get(t, "http://"+address+"/"); code != http.StatusOK || body != "safe" {
		t.Errorf("%s: it answers %d %q", name, code, body)
	}
	w.must("down", "-p", name)
}
