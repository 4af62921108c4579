package relay

import (
	"encoding/json"
	"errors"
	"strconv"
)

// deepest is how deep objects in a message may be nested.
const deepest = 100

// unflatten reads what the package flatted writes: an array of which the first
// element is the value, and each text in an object or array is the index of an
// element. An object that contains itself is cut off there.
func unflatten(text string) (any, error) {
	var all []any
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, errors.New("an empty array")
	}
	u := unflattener{all: all, left: 10*len(all) + 1000}
	return u.value(all[0], 0), nil
}

// unflattener bounds what it makes: elements may be named many times.
type unflattener struct {
	all  []any
	left int // values that may still be made
}

func (u *unflattener) value(v any, depth int) any {
	if u.left--; u.left < 0 || depth > deepest {
		return "..."
	}
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i, each := range v {
			out[i] = u.refer(each, depth+1)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, each := range v {
			out[name] = u.refer(each, depth+1)
		}
		return out
	}
	return v
}

func (u *unflattener) refer(v any, depth int) any {
	index, ok := v.(string)
	if !ok {
		return v // numbers and the like stand for themselves
	}
	i, err := strconv.Atoi(index)
	if err != nil || i < 0 || i >= len(u.all) {
		return nil
	}
	return u.value(u.all[i], depth)
}
