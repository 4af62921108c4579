package relay

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// log4js is the receiver of log4js (lib/clustering.js, 6): a worker's loggers hand
// their events to the primary, which has the appenders. Here each becomes a line of
// the worker's output, in log4js's basic layout.
type log4js struct {
	told bool
}

func (*log4js) takes(h head) bool { return h.Topic == "log4js:message" }

func (*log4js) leave(*Member) {}

func (l *log4js) hear(_ time.Time, from *Member, raw json.RawMessage, _ *Hub) {
	if !l.told {
		l.told = true
		from.Notice("logs through the primary that log4js expects: bulsa writes its events to the worker's output, and appenders of its configuration (files, syslog) do not run; with disableClustering: true in it each worker runs them itself")
	}
	var m struct {
		Data string `json:"data"`
	}
	if json.Unmarshal(raw, &m) != nil {
		return
	}
	event, err := unflatten(m.Data)
	if err != nil {
		from.Log("a message of log4js that cannot be read: " + m.Data)
		return
	}
	from.Log(logLine(event))
}

// logLine is an event in the basic layout (basicLayout in lib/layouts.js).
func logLine(event any) string {
	e, _ := event.(map[string]any)
	level, _ := e["level"].(map[string]any)
	at, _ := e["startTime"].(string)
	if t, err := time.Parse(time.RFC3339, at); err == nil {
		at = t.Local().Format("2006-01-02T15:04:05.000")
	}
	data, _ := e["data"].([]any)
	return fmt.Sprintf("[%s] [%s] %s - %s", at, inspect(level["levelStr"]), inspect(e["categoryName"]), format(data))
}

// format is what util.format makes of a logger's arguments, as far as JSON keeps it.
func format(args []any) string {
	if len(args) == 0 {
		return ""
	}
	var out strings.Builder
	text, isText := args[0].(string)
	if !isText {
		text = inspect(args[0])
	}
	rest := args[1:]
	for isText {
		before, after, found := strings.Cut(text, "%")
		if !found || after == "" || len(rest) == 0 && after[0] != '%' {
			break
		}
		out.WriteString(before)
		switch verb := after[0]; verb {
		case '%':
			out.WriteByte('%')
		case 's', 'd', 'i', 'f', 'j', 'o', 'O':
			out.WriteString(inspect(rest[0]))
			rest = rest[1:]
		case 'c':
			rest = rest[1:]
		default:
			out.WriteString("%" + after[:1])
		}
		text = after[1:]
	}
	out.WriteString(text)
	for _, arg := range rest {
		out.WriteString(" " + inspect(arg))
	}
	return out.String()
}

// inspect is a value as text: an error by its stack, an object as JSON.
func inspect(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case string:
		switch v { // what LoggingEvent.js writes in place of what JSON cannot say
		case "__LOG4JS_undefined__":
			return "undefined"
		case "__LOG4JS_NaN__":
			return "NaN"
		case "__LOG4JS_Infinity__":
			return "Infinity"
		case "__LOG4JS_-Infinity__":
			return "-Infinity"
		}
		return v
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1e21 {
			return strconv.FormatFloat(v, 'f', -1, 64)
		}
		return strconv.FormatFloat(v, 'g', -1, 64)
	case map[string]any:
		if stack, ok := v["stack"].(string); ok {
			return stack
		}
	}
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(text)
}
