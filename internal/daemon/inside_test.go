package daemon

import (
	"io"
	"testing"

	"bulsa/internal/supervisor"
)

func TestTheConsoleTellsWhatHappensInsideOfAContainerOnce(t *testing.T) {
	inside, outside := supervisor.Event{Worker: "app.1/2", Kind: "ready"}, supervisor.Event{Worker: "app.1", Kind: "ready"}
	withOutput, without := newConsole(io.Discard, nil), newConsole(nil, nil)
	if withOutput.tells(inside) || !withOutput.tells(outside) || !without.tells(inside) {
		t.Error("an event is told twice, or not at all")
	}
}
