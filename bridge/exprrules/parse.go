package exprrules

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// MaxFileBytes is the size of a rule file that is still read.
const MaxFileBytes = 1 << 20

// The depth to which values may nest in a file.
const maxNesting = 64

// Parse reads a rule file, YAML or JSON: an object with the list "rules". It knows
// what a rule consists of; whether its expressions, buckets and actions are right is
// known when it is loaded. What it does not know is refused: other names, names that
// come twice, anchors, aliases, a second document. Error: *LoadError.
func Parse(data []byte) ([]Rule, error) {
	switch {
	case len(data) > MaxFileBytes:
		return nil, &LoadError{Err: ErrTooLarge}
	case len(bytes.TrimSpace(data)) == 0:
		return nil, &LoadError{Err: ErrEmpty}
	}
	p := &fileReader{lines: strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")}
	root, err := readNode(data)
	switch {
	case errors.Is(err, ErrEmpty):
		return nil, &LoadError{Err: err}
	case err != nil:
		return nil, &LoadError{Problems: []Problem{syntaxProblem(err)}}
	}
	rules := p.file(root)
	if len(p.problems) > 0 {
		return nil, &LoadError{Problems: p.problems}
	}
	return rules, nil
}

// readNode reads a document as a tree with places.
func readNode(data []byte) (*yaml.Node, error) {
	if root, ok := readJSON(data); ok {
		return root, nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, ErrEmpty // comments
	} else if err != nil {
		return nil, err
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		if err == nil {
			err = fmt.Errorf("yaml: line %d: a second document", more.Line)
		}
		return nil, err
	}
	return doc.Content[0], nil
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): `)

func syntaxProblem(err error) Problem {
	text := err.Error()
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ := strconv.Atoi(m[1])
		return Problem{Line: line, Column: 1, Message: text[len(m[0]):]}
	}
	return Problem{Line: 1, Column: 1, Message: strings.TrimPrefix(text, "yaml: ")}
}

// fileReader turns the tree of a file into rules, and gathers what is wrong.
type fileReader struct {
	lines    []string
	problems []Problem

	rule   string // under way
	places places
}

func (p *fileReader) bad(n *yaml.Node, part, format string, args ...any) {
	p.problems = append(p.problems, Problem{
		Rule: p.rule, Part: part, Line: n.Line, Column: n.Column, Message: fmt.Sprintf(format, args...),
	})
}

func (p *fileReader) file(root *yaml.Node) (rules []Rule) {
	found := false
	p.object(root, "", func(name string, key, v *yaml.Node) bool {
		if name != "rules" {
			return false
		}
		found = true
		if v.Kind != yaml.SequenceNode {
			p.bad(v, "rules", "must be a list of rules")
			return true
		}
		for i, n := range v.Content {
			rules = append(rules, p.parseRule(i, n))
		}
		return true
	})
	p.rule = ""
	if !found && len(p.problems) == 0 {
		p.bad(root, "", "there is no list of rules")
	}
	return rules
}

// object calls entry for each entry of an object; entry reports whether it knows the
// name.
func (p *fileReader) object(n *yaml.Node, part string, entry func(name string, key, v *yaml.Node) bool) {
	if n.Kind != yaml.MappingNode {
		p.bad(n, part, "must be an object, with names and values")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, v := n.Content[i], n.Content[i+1]
		switch name := key.Value; {
		case key.Kind != yaml.ScalarNode:
			p.bad(key, part, "a name must be a text")
		case key.Anchor != "" || v.Anchor != "" || v.Kind == yaml.AliasNode:
			p.bad(key, part, "anchors and aliases are not allowed")
		case seen[name]:
			p.bad(key, part, "%q comes twice", name)
		case !entry(name, key, v):
			p.bad(key, part, "unknown name %q", name)
		default:
			seen[name] = true
		}
	}
}

// text is a scalar as it is written.
func (p *fileReader) text(n *yaml.Node, part string) string {
	p.places.of[part] = n
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		p.bad(n, part, "must be a text")
		return ""
	}
	return n.Value
}

func (p *fileReader) parseRule(i int, n *yaml.Node) (r Rule) {
	p.rule = fmt.Sprintf("rule %d", i+1)
	p.places = places{of: map[string]*yaml.Node{"": n}, lines: p.lines}
	if n.Kind == yaml.MappingNode { // first, so that every problem has it
		for k := 0; k+1 < len(n.Content); k += 2 {
			if n.Content[k].Value == "name" && n.Content[k+1].Kind == yaml.ScalarNode && n.Content[k+1].Value != "" {
				p.rule = n.Content[k+1].Value
			}
		}
	}
	p.object(n, "", func(name string, _, v *yaml.Node) bool {
		switch name {
		case "name":
			r.Name = p.text(v, name)
		case "when":
			r.When = p.text(v, name)
		case "if":
			r.If = p.text(v, name)
			if strings.TrimSpace(r.If) == "" && v.Kind == yaml.ScalarNode {
				p.bad(v, name, "is empty: leave it out if the rule has no condition")
			}
		case "then":
			p.places.of[name] = v
			if v.Kind != yaml.SequenceNode {
				p.bad(v, name, "must be a list of steps")
				return true
			}
			for i, step := range v.Content {
				r.Then = append(r.Then, p.step(fmt.Sprintf("then[%d]", i), step))
			}
		default:
			return false
		}
		return true
	})
	r.places = p.places
	return r
}

func (p *fileReader) step(part string, n *yaml.Node) (s Step) {
	p.places.of[part] = n
	p.object(n, part, func(name string, _, v *yaml.Node) bool {
		sub := part + "." + name
		switch name {
		case "insert":
			s.Insert = p.text(v, sub)
		case "update":
			s.Update = p.text(v, sub)
		case "upsert":
			s.Upsert = p.text(v, sub)
		case "delete":
			s.Delete = p.text(v, sub)
		case "do":
			s.Do = p.text(v, sub)
		case "key":
			if s.Key = p.value(v, sub, 0); s.Key == nil {
				p.bad(v, sub, "there is no key")
			}
		case "set":
			s.Set = p.values(v, sub)
		case "where":
			s.Where = p.values(v, sub)
		case "with":
			s.With = p.values(v, sub)
		default:
			return false
		}
		return true
	})
	return s
}

func (p *fileReader) values(n *yaml.Node, part string) map[string]any {
	p.places.of[part] = n
	m, _ := p.value(n, part, 0).(map[string]any)
	if n.Kind != yaml.MappingNode {
		p.bad(n, part, "must be an object, with names and values")
	}
	return m
}

// value reads a value: texts stay texts, to be compiled.
func (p *fileReader) value(n *yaml.Node, part string, depth int) any {
	p.places.of[part] = n
	if depth > maxNesting {
		p.bad(n, part, "is nested too deeply")
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		p.object(n, part, func(name string, _, v *yaml.Node) bool {
			m[name] = p.value(v, part+"."+name, depth+1)
			return true
		})
		return m
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, v := range n.Content {
			list[i] = p.value(v, fmt.Sprintf("%s[%d]", part, i), depth+1)
		}
		return list
	case yaml.ScalarNode:
		return p.scalar(n, part)
	}
	p.bad(n, part, "anchors and aliases are not allowed")
	return nil
}

func (p *fileReader) scalar(n *yaml.Node, part string) any {
	if !slices.Contains([]string{"!!null", "!!bool", "!!int", "!!float", "!!timestamp"}, n.Tag) {
		return n.Value
	}
	var v any
	if err := n.Decode(&v); err != nil {
		p.bad(n, part, "%s", strings.TrimPrefix(err.Error(), "yaml: "))
		return nil
	}
	return v
}
