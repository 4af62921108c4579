package measure

import "testing"

func TestReadsWrk(t *testing.T) {
	const out = `Running 60m test @ http://127.0.0.1:8080/
  1 threads and 64 connections
  30262 requests in 2.01s, 3.98MB read
  Socket errors: connect 0, read 3, write 1, timeout 2
  Non-2xx or 3xx responses: 10
Requests/sec:  15055.72
`
	requests, failed, err := parseWrk(out)
	if requests != 30262 || failed != 16 || err != nil {
		t.Errorf("%d requests, %d failed, %v", requests, failed, err)
	}
	if _, _, err := parseWrk("unable to connect"); err == nil {
		t.Error("an answer without figures is an error")
	}
}
