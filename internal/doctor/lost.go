package doctor

import "fmt"

// fewLost are sessions that a death or a restart has taken along.
const fewLost = 3

// lost: sessions of socket.io meet workers that do not know them.
func lost(s Service) []Finding {
	if s.Lost.Requests < fewLost {
		return nil
	}
	f := Finding{
		Kind: "lost-sessions", Service: s.Name, Weight: 70,
		Summary:  fmt.Sprintf("workers of %s do not know the sessions of socket.io that come to them", s.Name),
		Evidence: []string{fmt.Sprintf("%d requests with a session in the query (EIO=...&sid=...) answered 400", s.Lost.Requests)},
	}
	if !s.Lost.Led {
		f.Remedy = []string{"x-bulsa.sticky: auto leads each session to the worker that has issued it (off is set)"}
	} else {
		f.Remedy = []string{
			"sessions end with their worker: bulsa events says which have died or were replaced",
			"where a worker has several socket.io servers of its own, or another proxy hides the query, let clients begin with a WebSocket: io({transports: [\"websocket\"]})",
		}
	}
	return []Finding{f}
}
