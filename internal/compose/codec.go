package compose

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"bulsa/internal/spec"
)

// setter decodes one value into the service.
type setter func(path string, value any) error

// key is how one key of x-bulsa is read and how it is written.
type key struct {
	set setter
	get func() any // nil: it is never written; a result of nil: not now
}

// keys are those of one mapping, by name.
type keys map[string]key

// decode sets each key of a mapping, in the order of the keys' names.
func decode(path string, value any, table keys) error {
	m, ok := value.(map[string]any)
	if !ok {
		return wrong(path, "a mapping")
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		row, known := table[key]
		where := path + "." + key
		if !known {
			return &spec.Problem{
				Where: where,
				What:  fmt.Sprintf("unknown key %q in %s", key, path),
				Fix:   suggestion(key, slices.Sorted(maps.Keys(table))),
			}
		}
		if m[key] == nil {
			continue // a key without a value keeps its default
		}
		if err := row.set(where, m[key]); err != nil {
			return err
		}
	}
	return nil
}

// written are the values of a table's fields, by key; what a row leaves out is not there.
func (table keys) written() section {
	out := section{}
	for name, row := range table {
		if row.get == nil {
			continue
		}
		if value := row.get(); value != nil {
			out[name] = value
		}
	}
	return out
}

// group is a mapping within a mapping.
func group(table keys) key {
	return key{
		set: func(path string, value any) error { return decode(path, value, table) },
		get: func() any { return table.written() },
	}
}

// unless leaves a key out while its value is the default: where giving it at all would
// say something.
func unless(def any, row key) key {
	return key{row.set, func() any {
		if value := row.get(); value != def {
			return value
		}
		return nil
	}}
}

// word is a text of a type of its own; an empty one is left out.
func word[T ~string](field *T) key {
	return key{
		set: text(func(t string) error { *field = T(t); return nil }),
		get: func() any {
			if *field == "" {
				return nil
			}
			return escape(string(*field))
		},
	}
}

func wrong(path, want string) error {
	return &spec.Problem{Where: path, What: path + " has the wrong type", Fix: "write " + want}
}

func text(set func(string) error) setter {
	return func(path string, value any) error {
		t, ok := value.(string)
		if !ok {
			return wrong(path, "text")
		}
		if err := set(t); err != nil {
			return spec.At(path, err)
		}
		return nil
	}
}

// integer also takes the text that interpolation leaves behind.
func integer(field *int) key {
	return key{set: func(path string, value any) error {
		n, err := strconv.ParseInt(fmt.Sprint(value), 10, 32)
		if err != nil {
			return wrong(path, "a whole number")
		}
		*field = int(n)
		return nil
	}, get: func() any { return *field }}
}

func number(field *float64) key {
	return key{set: func(path string, value any) error {
		f, err := strconv.ParseFloat(fmt.Sprint(value), 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return wrong(path, "a number")
		}
		*field = f
		return nil
	}, get: func() any { return *field }}
}

func boolean(field *bool) key {
	return key{set: func(path string, value any) error {
		switch fmt.Sprint(value) {
		case "true":
			*field = true
		case "false":
			*field = false
		default:
			return wrong(path, "true or false")
		}
		return nil
	}, get: func() any { return *field }}
}

// onOff is a boolean that may also be written as on or off.
func onOff(field *bool) key {
	return key{set: func(path string, value any) error {
		switch value {
		case "on":
			value = true
		case "off":
			value = false
		}
		if boolean(field).set(path, value) != nil {
			return wrong(path, "on or off")
		}
		return nil
	}, get: func() any { return *field }}
}

// duration refuses plain numbers: their unit would be a guess. 0 is 0.
func duration(field *time.Duration) key {
	return key{set: func(path string, value any) error {
		d, err := spec.ParseDuration(fmt.Sprint(value))
		if err != nil {
			return spec.At(path, err)
		}
		*field = d
		return nil
	}, get: func() any { return field.String() }}
}

func size(field *int64) key {
	return key{set: func(path string, value any) error {
		n, err := spec.ParseSize(fmt.Sprint(value))
		if err != nil {
			return spec.At(path, err)
		}
		*field = n
		return nil
	}, get: func() any { return *field }}
}

func textList(field *[]string) key {
	return key{set: func(path string, value any) error {
		list, ok := value.([]any)
		if !ok {
			return wrong(path, "a list")
		}
		*field = nil
		for i, item := range list {
			t, isText := item.(string)
			if !isText {
				return wrong(fmt.Sprintf("%s.%d", path, i), "text")
			}
			*field = append(*field, t)
		}
		return nil
	}, get: func() any {
		if len(*field) == 0 {
			return nil
		}
		return escapeAll(*field)
	}}
}
