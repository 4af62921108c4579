package inner

import (
	"slices"
	"testing"
	"time"
)

func TestWhatIsToldFromOutsideIsNotPassedOn(t *testing.T) {
	told, rest := From([]string{"A=1", "BULSA_REPORT=/run/x", "BULSA_WORKERS=auto", "BULSA_STOP_TIMEOUT=1m0s", "PORT=3000"})
	if told != (Told{Report: "/run/x", Workers: "auto", Grace: time.Minute}) {
		t.Errorf("told %+v", told)
	}
	if !slices.Equal(rest, []string{"A=1", "PORT=3000"}) {
		t.Errorf("the rest is %q", rest)
	}
	if told, _ := From([]string{"BULSA_STOP_TIMEOUT=soon"}); told != (Told{}) {
		t.Errorf("of nonsense it makes %+v", told)
	}
}
