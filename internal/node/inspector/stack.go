package inspector

import (
	"context"
	"net/url"
	"strconv"
	"strings"
)

// Frame is one call on a stack.
type Frame struct {
	Function string `json:"function"` // "fib", "Server.emit", "RegExp.test"; "" for code outside of functions
	File     string `json:"file"`     // path, or node:internal/...; "" for what is built into the language
	Line     int    `json:"line"`     // where it is at this moment, from 1; 0: unknown
	Column   int    `json:"column"`   // from 1
}

// whereNow asks from inside the code that runs at this moment: the stack below
// is that of what was interrupted. The application's stackTraceLimit and
// prepareStackTrace take no part and stay as they are.
const whereNow = `(() => {
  const own = ['stackTraceLimit', 'prepareStackTrace'].map((name) => [name, Object.getOwnPropertyDescriptor(Error, name)]);
  try {
    Error.stackTraceLimit = 100;
    Error.prepareStackTrace = undefined;
    return new Error().stack;
  } finally {
    for (const [name, was] of own) {
      if (was) Object.defineProperty(Error, name, was);
      else delete Error[name];
    }
  }
})()`

// Stack returns the calls that the program is in at this moment, innermost
// first; none when its loop is not in JavaScript. It takes some milliseconds.
func (s *Session) Stack(ctx context.Context) ([]Frame, error) {
	var answer struct {
		Result struct{ Value string }
	}
	err := s.conn.call(ctx, "Runtime.evaluate", map[string]any{"expression": whereNow, "returnByValue": true}, &answer)
	if err != nil && ctx.Err() != nil {
		return nil, &NativeError{State: s.process.state(), Cause: ctx.Err()}
	}
	return parseStack(answer.Result.Value), err
}

// parseStack reads V8's text of a stack, without the frames of the question
// itself (https://v8.dev/docs/stack-trace-api).
func parseStack(text string) []Frame {
	var frames []Frame
	for line := range strings.Lines(text) {
		call, ok := strings.CutPrefix(strings.TrimSpace(line), "at ")
		if !ok || len(frames) == 0 && strings.HasPrefix(call, "<anonymous>:") {
			continue
		}
		frames = append(frames, parseCall(call))
	}
	return frames
}

// parseCall reads "Object.loop (/srv/app.js:6:10)", "/srv/app.js:1:1" or
// "RegExp.test (<anonymous>)".
func parseCall(call string) Frame {
	var f Frame
	place := call
	if open := strings.Index(call, " ("); open >= 0 && strings.HasSuffix(call, ")") {
		f.Function, place = call[:open], call[open+2:len(call)-1]
	}
	f.Function, _, _ = strings.Cut(f.Function, " [as ")
	// On what a function was called as a method says little where it is no class.
	for _, prefix := range []string{"async ", "new ", "Object.", "Timeout.", "Immediate."} {
		f.Function = strings.TrimPrefix(f.Function, prefix)
	}
	place, f.Column = cutNumber(place)
	place, f.Line = cutNumber(place)
	if place != "<anonymous>" {
		f.File = filePath(place)
	}
	return f
}

// cutNumber takes ":12" off the end.
func cutNumber(place string) (string, int) {
	i := strings.LastIndexByte(place, ':')
	if i < 0 {
		return place, 0
	}
	n, err := strconv.Atoi(place[i+1:])
	if err != nil {
		return place, 0
	}
	return place[:i], n
}

// filePath makes a path of the URL that modules have.
func filePath(place string) string {
	if u, err := url.Parse(place); err == nil && u.Scheme == "file" {
		return u.Path
	}
	return place
}

// Culprit is the frame to show when there is room for one: the innermost of the
// application's own code, else of any package, else of Node itself. ok is false
// for an empty stack.
func Culprit(stack []Frame) (f Frame, ok bool) {
	for _, own := range []func(Frame) bool{isOwn, Frame.placed} {
		for _, f := range stack {
			if own(f) {
				return f, true
			}
		}
	}
	if len(stack) == 0 {
		return Frame{}, false
	}
	return stack[0], true
}

func (f Frame) placed() bool { return f.File != "" && !strings.HasPrefix(f.File, "node:") }

func isOwn(f Frame) bool { return f.placed() && !strings.Contains(f.File, "/node_modules/") }
