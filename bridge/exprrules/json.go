package exprrules

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v3"
)

// readJSON reads a JSON document as the tree that YAML has, with places. YAML knows
// most of JSON, but not its surrogate pairs, nor tabs in front of a value. ok is
// false if it is not JSON.
func readJSON(data []byte) (root *yaml.Node, ok bool) {
	if !json.Valid(data) { // so that nothing below can fail; this bounds the nesting too
		return nil, false
	}
	r := &jsonReader{data: data, dec: json.NewDecoder(bytes.NewReader(data)), line: 1}
	r.dec.UseNumber()
	return r.value(), true
}

type jsonReader struct {
	data []byte
	dec  *json.Decoder

	offset, line, start int // up to where lines are counted: that line, and where it begins
}

// token returns the next token, as a node that has its place.
func (r *jsonReader) token() (json.Token, *yaml.Node) {
	from := int(r.dec.InputOffset())
	for from < len(r.data) && strings.IndexByte(" \t\r\n,:", r.data[from]) >= 0 {
		from++
	}
	for ; r.offset < from; r.offset++ {
		if r.data[r.offset] == '\n' {
			r.line++
			r.start = r.offset + 1
		}
	}
	tok, _ := r.dec.Token()
	return tok, &yaml.Node{Line: r.line, Column: utf8.RuneCount(r.data[r.start:from]) + 1}
}

func (r *jsonReader) value() *yaml.Node {
	tok, n := r.token()
	n.Kind = yaml.ScalarNode
	switch v := tok.(type) {
	case json.Delim:
		n.Kind, n.Tag = yaml.MappingNode, "!!map"
		if v == '[' {
			n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		}
		for r.dec.More() {
			n.Content = append(n.Content, r.value()) // of an object, names and values in turn
		}
		r.token()
	case string:
		n.Tag, n.Value, n.Style = "!!str", v, yaml.DoubleQuotedStyle
	case json.Number:
		n.Tag, n.Value = "!!int", v.String()
		if strings.ContainsAny(n.Value, ".eE") {
			n.Tag = "!!float"
		}
	case bool:
		n.Tag, n.Value = "!!bool", "false"
		if v {
			n.Value = "true"
		}
	default:
		n.Tag, n.Value = "!!null", "null"
	}
	return n
}
