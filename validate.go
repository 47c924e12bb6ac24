package store

import (
	"errors"
	"runtime/debug"
	"slices"

	"github.com/noex-go/store/internal/table"
)

// Validators are functions of the user's that may refuse what all rules allow.
// They run in the goroutine that prepares the record, at the end of it: no lock is
// held, nobody else waits, and a panic is the error of that write.

// verdicts collects what validators say of one record.
type verdicts struct {
	rec    Record
	issues []Issue
	causes []error
	err    error // a panic, which ends it
}

// validate runs the validators of a prepared record that breaks no other rule: those
// of its fields and of what is inside of them, then, if all agree and whole asks
// for it, the bucket's. only has the fields to ask, by position; nil: all.
func (sh *shape) validate(v *table.Version, only []bool, whole bool) error {
	w := verdicts{rec: Record{v}}
	for i := range sh.slots {
		s := &sh.slots[i]
		if s.rules.judged() && !s.absent(v) && w.err == nil && (only == nil || only[i]) {
			w.value(&s.rules, s.peek(v), s.name)
		}
	}
	if whole && sh.judge != nil && w.err == nil && len(w.issues) == 0 {
		w.ask("", func() error { return sh.judge(w.rec) })
	}
	switch {
	case w.err != nil:
		return &Error{Op: "validate", Bucket: sh.bucket, Err: w.err}
	case len(w.issues) > 0:
		return &ValidationError{Bucket: sh.bucket, Issues: w.issues, causes: w.causes}
	}
	return nil
}

// value runs the validators of a value, which may be the store's own, and of those
// inside of it. Each gets a copy: what one does to it, the next does not see.
func (w *verdicts) value(r *rules, x any, path string) {
	if r.validate != nil {
		w.ask(path, func() error { return r.validate(cloneValue(x), w.rec) })
	}
	if r.inner == nil || !r.inner.judged || w.err != nil {
		return
	}
	switch x := x.(type) {
	case map[string]any:
		for i := range r.inner.props {
			p := &r.inner.props[i]
			if y := x[p.name]; y != nil && p.rules.judged() {
				w.value(&p.rules, y, path+"."+p.name)
			}
		}
	case []any:
		for i, y := range x {
			if y != nil && r.inner.item != nil {
				w.value(r.inner.item, y, path+element(i))
			}
		}
	}
}

// ask calls one validator. What its error says is the user's code as well.
func (w *verdicts) ask(path string, fn func() error) {
	if w.err != nil {
		return
	}
	defer func() {
		if r := recover(); r != nil {
			w.err = &PanicError{Value: r, Stack: debug.Stack()}
		}
	}()
	err := fn()
	if err == nil {
		return
	}
	issues := []Issue{{path, CodeValidate, ""}}
	var several *ValidationError
	if errors.As(err, &several) && several != nil && len(several.Issues) > 0 {
		issues = slices.Clone(several.Issues)
		for i := range issues {
			issues[i].Field = join(path, issues[i].Field)
		}
	} else {
		issues[0].Message = err.Error()
	}
	w.issues = append(w.issues, issues...)
	w.causes = append(w.causes, err)
}

// join is the path of something inside of what lies at another path.
func join(path, inside string) string {
	if path == "" || inside == "" || inside[0] == '[' || inside[0] == '.' {
		return path + inside
	}
	return path + "." + inside
}
