package compose

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/schema"
)

// schemaNode is a part of the Compose specification's JSON schema.
type schemaNode = map[string]any

// schemaKeys are the keys that Compose knows at a path, sorted.
func schemaKeys(path string) []string {
	var keys []string
	for _, node := range schemaAt(path) {
		properties, _ := node["properties"].(schemaNode)
		for key, value := range properties {
			if value != false {
				keys = append(keys, key)
			}
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// schemaTypes are the kinds of value that Compose allows at a path, in words.
func schemaTypes(path string) []string {
	words := map[string]string{
		"string": "text", "array": "a list", "object": "a mapping", "boolean": "true or false",
		"integer": "a whole number", "number": "a number",
	}
	var kinds []string
	add := func(name any) {
		if word := words[asText(name)]; word != "" && !slices.Contains(kinds, word) {
			kinds = append(kinds, word)
		}
	}
	if isDuration(path) {
		return []string{"a duration like 5s"}
	}
	for _, node := range schemaAt(path) {
		if list, several := node["type"].([]any); several {
			for _, name := range list {
				add(name)
			}
			continue
		}
		add(node["type"])
	}
	return kinds
}

// isDuration: the schema says so of some of Compose's durations only.
func isDuration(path string) bool {
	switch path[strings.LastIndexByte(path, '.')+1:] {
	case "interval", "timeout", "start_period", "start_interval", "stop_grace_period", "delay", "window", "monitor":
		return true
	}
	return false
}

func asText(v any) string {
	text, _ := v.(string)
	return text
}

// schemaAt are the parts of the schema that describe the value at a path.
func schemaAt(path string) []schemaNode {
	var root schemaNode
	if err := json.Unmarshal([]byte(schema.Schema), &root); err != nil {
		return nil
	}
	nodes := expand(root, root, 0)
	if path == "" {
		return nodes
	}
	for _, key := range strings.Split(path, ".") {
		var next []schemaNode
		for _, node := range nodes {
			next = append(next, step(root, node, key)...)
		}
		nodes = next
	}
	return nodes
}

// expand follows references and alternatives.
func expand(root, node schemaNode, depth int) []schemaNode {
	if depth > 10 {
		return nil
	}
	nodes := []schemaNode{node}
	if name, isRef := strings.CutPrefix(asText(node["$ref"]), "#/$defs/"); isRef {
		defs, _ := root["$defs"].(schemaNode)
		if target, ok := defs[name].(schemaNode); ok {
			nodes = append(nodes, expand(root, target, depth+1)...)
		}
	}
	for _, key := range []string{"allOf", "oneOf", "anyOf"} {
		list, _ := node[key].([]any)
		for _, item := range list {
			if alternative, ok := item.(schemaNode); ok {
				nodes = append(nodes, expand(root, alternative, depth+1)...)
			}
		}
	}
	return nodes
}

// step goes down by one key or list index.
func step(root, node schemaNode, key string) []schemaNode {
	properties, _ := node["properties"].(schemaNode)
	if child, ok := properties[key].(schemaNode); ok {
		return expand(root, child, 0)
	}
	patterns, _ := node["patternProperties"].(schemaNode)
	for pattern, value := range patterns {
		child, ok := value.(schemaNode)
		if matched, err := regexp.MatchString(pattern, key); ok && err == nil && matched && pattern != "^x-" {
			return expand(root, child, 0)
		}
	}
	for _, key := range []string{"items", "additionalProperties"} {
		if child, ok := node[key].(schemaNode); ok {
			return expand(root, child, 0)
		}
	}
	return nil
}
