package relay

import (
	"encoding/json"
	"math"
	"time"
)

// limiters is RateLimiterClusterMaster of rate-limiter-flexible
// (lib/RateLimiterCluster.js, RateLimiterMemory.js; 2 to 11): points by key in
// memory, for all workers of a service together.
type limiters struct {
	all map[string]*limiter // by keyPrefix
}

func newLimiters() *limiters { return &limiters{all: map[string]*limiter{}} }

const limiterChannel = "rate_limiter_flexible"

// mostLimiters bounds how many different limiters a service may make.
const mostLimiters = 1000

// limiterOptions are what a worker's limiter was made with. Times are in seconds
// where they do not say otherwise.
type limiterOptions struct {
	Points        float64 `json:"points"`
	Duration      float64 `json:"duration"`
	BlockDuration float64 `json:"blockDuration"`
	Evenly        bool    `json:"execEvenly"`
	EvenlyMinimum float64 `json:"execEvenlyMinDelayMs"`
	Prefix        string  `json:"keyPrefix"`
}

// limiterMessage is what a worker's limiter sends.
type limiterMessage struct {
	Type    string          `json:"type"`
	Options limiterOptions  `json:"opts"`
	Prefix  string          `json:"keyPrefix"`
	Func    string          `json:"func"`
	Promise json.RawMessage `json:"promiseId"`
	Data    struct {
		Key     json.RawMessage `json:"key"`
		Arg     *float64        `json:"arg"`
		Options struct {
			Custom *float64 `json:"customDuration"`
		} `json:"opts"`
	} `json:"data"`
}

func (l *limiters) takes(h head) bool { return h.Channel == limiterChannel }

func (l *limiters) leave(*Member) {}

func (l *limiters) hear(now time.Time, from *Member, raw json.RawMessage, _ *Hub) {
	var m limiterMessage
	if json.Unmarshal(raw, &m) != nil {
		return
	}
	if m.Type == "init" {
		if l.all[m.Options.Prefix] == nil && len(l.all) < mostLimiters {
			l.all[m.Options.Prefix] = &limiter{options: m.Options, records: map[string]record{}}
		}
		_ = from.Send(map[string]any{"channel": limiterChannel, "type": "init", "keyPrefix": m.Options.Prefix})
		return
	}
	limiter := l.all[m.Prefix]
	if limiter == nil {
		return // its promise ends by its own timeout, as it does with the original
	}
	a := limiter.do(now, m)
	answer := func() {
		_ = from.Send(map[string]any{
			"channel": limiterChannel, "keyPrefix": m.Prefix, "promiseId": m.Promise, "type": a.verdict, "data": a.data,
		}) // a worker that is gone waits for nothing
	}
	if a.delay > 0 {
		time.AfterFunc(a.delay, answer)
		return
	}
	answer()
}

// limiter counts the points of one keyPrefix.
type limiter struct {
	options limiterOptions
	records map[string]record
	swept   int // how many records there were after the last sweep
}

// record is the points of one key.
type record struct {
	points  float64
	expires time.Time // zero: never
}

// state is what a limiter tells of a key; see RateLimiterRes.js.
type state struct {
	Remaining float64 `json:"remainingPoints"`
	Next      float64 `json:"msBeforeNext"`
	Consumed  float64 `json:"consumedPoints"`
	First     bool    `json:"isFirstInDuration"`
}

// limiterAnswer is what comes of a question to a limiter.
type limiterAnswer struct {
	verdict string        // resolve | reject
	data    any           // state, bool or nil
	delay   time.Duration // execEvenly: it is told so much later
}

func (l *limiter) do(now time.Time, m limiterMessage) limiterAnswer {
	key := keyText(m.Data.Key)
	points, duration := 1.0, l.options.Duration
	if m.Data.Arg != nil {
		points = *m.Data.Arg
	}
	if c := m.Data.Options.Custom; c != nil && *c >= 0 {
		duration = *c
	}
	switch m.Func {
	case "consume":
		return l.consume(now, key, points, duration)
	case "penalty":
		return limiterAnswer{verdict: "resolve", data: l.left(l.add(now, key, points, duration))}
	case "reward":
		return limiterAnswer{verdict: "resolve", data: l.left(l.add(now, key, -points, duration))}
	case "block":
		s := l.set(now, key, l.options.Points+1, points)
		return limiterAnswer{verdict: "resolve", data: state{Next: s.Next, Consumed: s.Consumed}}
	case "get":
		if r, there := l.find(now, key); there {
			return limiterAnswer{verdict: "resolve", data: l.left(r.state(now))}
		}
		return limiterAnswer{verdict: "resolve"}
	case "delete":
		_, there := l.find(now, key)
		delete(l.records, key)
		return limiterAnswer{verdict: "resolve", data: there}
	}
	return limiterAnswer{verdict: "reject"}
}

func (l *limiter) consume(now time.Time, key string, points, duration float64) limiterAnswer {
	s := l.left(l.add(now, key, points, duration))
	o := l.options
	if s.Consumed > o.Points {
		if o.BlockDuration > 0 && s.Consumed <= o.Points+points { // blocked only the first time
			s = l.set(now, key, s.Consumed, o.BlockDuration)
		}
		return limiterAnswer{verdict: "reject", data: s}
	}
	a := limiterAnswer{verdict: "resolve"}
	if o.Evenly && o.Points > 0 && s.Next > 0 && !s.First {
		delay := math.Ceil(s.Next / (s.Remaining + 2))
		if delay < o.EvenlyMinimum {
			delay = s.Consumed * o.EvenlyMinimum
		}
		s.Next = max(s.Next-delay, 0)
		a.delay = time.Duration(delay * float64(time.Millisecond))
	}
	a.data = s
	return a
}

// left fills in what is left of the points.
func (l *limiter) left(s state) state {
	s.Remaining = max(l.options.Points-s.Consumed, 0)
	return s
}

func (l *limiter) add(now time.Time, key string, points, duration float64) state {
	r, there := l.find(now, key)
	if !there {
		return l.set(now, key, points, duration)
	}
	r.points += points
	l.records[key] = r
	return r.state(now)
}

func (l *limiter) set(now time.Time, key string, points, duration float64) state {
	r := record{points: points}
	if duration > 0 {
		r.expires = now.Add(time.Duration(duration * float64(time.Second)))
	}
	l.sweep(now)
	l.records[key] = r
	s := r.state(now)
	s.First = true
	return s
}

func (l *limiter) find(now time.Time, key string) (record, bool) {
	r, there := l.records[key]
	return r, there && !r.over(now)
}

// sweep forgets what has expired, once there is twice as much as was left last time.
func (l *limiter) sweep(now time.Time) {
	if len(l.records) < 2*l.swept+1000 {
		return
	}
	for key, r := range l.records {
		if r.over(now) {
			delete(l.records, key)
		}
	}
	l.swept = len(l.records)
}

func (r record) over(now time.Time) bool { return !r.expires.IsZero() && !now.Before(r.expires) }

func (r record) state(now time.Time) state {
	s := state{Consumed: r.points, Next: -1}
	if !r.expires.IsZero() {
		s.Next = math.Round(r.expires.Sub(now).Seconds() * 1000)
	}
	return s
}

// keyText is a key as JavaScript makes text of it: 7 and "7" are one key.
func keyText(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}
