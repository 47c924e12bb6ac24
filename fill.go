package store

import (
	"bufio"
	"crypto/rand"
	"math"
	"runtime/debug"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/lucsky/cuid"

	"github.com/noex-go/store/internal/table"
)

// What a record gets that its input does not have: generated values and defaults.

// fill generates or defaults an absent field.
func (p *preparer) fill(s *slot, v *table.Version, now time.Time) error {
	switch {
	case s.gen == UUID && s.kind == memString && !s.ptr:
		*(*string)(at(v, s.off)) = newUUID()
		s.setAbsent(v, false)
	case s.gen == Autoincrement:
		n, ok := p.draw(s)
		if !ok {
			return &valueError{string(CodeMax), "has no number left"}
		}
		if err := s.put(v, n, p.sh.lim); err != nil {
			return err
		}
	case s.gen != 0:
		if err := s.put(v, s.generate(now), p.sh.lim); err != nil {
			return err
		}
	case s.defFunc != nil:
		x, err := callDefault(s.defFunc)
		if err != nil {
			return &Error{Op: "default of field " + s.name, Bucket: p.sh.bucket, Err: err}
		}
		return ofDefault(p.take(s, v, x, now))
	case s.hasDefault && (s.inner != nil || s.kind == memRef):
		return ofDefault(p.take(s, v, s.def, now))
	case s.hasDefault:
		if err := s.store(v, cloneValue(s.def)); err != nil {
			return err
		}
	}
	return nil
}

// ofDefault says in what is wrong with a value that it was the default.
func ofDefault(err error) error {
	const by = "its default "
	switch e := err.(type) {
	case *valueError:
		return &valueError{e.code, by + e.msg}
	case *insideError:
		for i := range e.issues {
			e.issues[i].Message = by + e.issues[i].Message
		}
	}
	return err
}

// unfitting says which rules speak of what the struct of the bucket does not have.
func (sh *shape) unfitting() (issues []Issue) {
	for i := range sh.slots {
		if s := &sh.slots[i]; s.kind == memRef {
			issues = append(issues, s.unfit(s.goType, s.name)...)
		}
	}
	return issues
}

// checkDefaults tries each default on the struct's fields, which may be narrower
// than their types.
func (sh *shape) checkDefaults() (issues []Issue) {
	v := sh.alloc()
	for i := range sh.slots {
		s := &sh.slots[i]
		if s.def == nil {
			continue
		}
		if err := s.put(v, s.def, sh.lim); err != nil {
			issues = append(issues, Issue{s.name, Code(err.code), "its default " + err.msg})
		}
	}
	return issues
}

func callDefault(fn func() any) (x any, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &PanicError{Value: r, Stack: debug.Stack()}
		}
	}()
	return fn(), nil
}

// randoms are buffered sources of secure random bytes: a system call for every
// 32 UUIDs instead of each. Package state, but nobody can tell.
var randoms = sync.Pool{New: func() any { return bufio.NewReaderSize(rand.Reader, 512) }}

func newUUID() string {
	r := randoms.Get().(*bufio.Reader)
	id, err := uuid.NewRandomFromReader(r)
	randoms.Put(r)
	if err != nil { // crypto/rand does not fail
		panic(err)
	}
	return id.String()
}

// generate makes a value of any generator but Autoincrement.
func (r *rules) generate(now time.Time) any {
	switch r.gen {
	case UUID:
		return newUUID()
	case CUID:
		return cuid.New()
	}
	switch r.typ {
	case Date:
		return now
	case String:
		return now.UTC().Format(time.RFC3339Nano)
	}
	return now.UnixMilli()
}

// draw takes the next number of an autoincrement field.
func (p *preparer) draw(s *slot) (int64, bool) {
	for c := &p.auto[s.pos]; ; {
		last := c.Load()
		if last == math.MaxInt64 {
			return 0, false
		}
		if c.CompareAndSwap(last, last+1) {
			return last + 1, true
		}
	}
}

// raiseAll keeps the counters above the numbers that a record brought.
func (p *preparer) raiseAll(v *table.Version) {
	for _, i := range p.sh.autos {
		if s := &p.sh.slots[i]; !s.absent(v) {
			p.raise(s, v)
		}
	}
}

// raise keeps the counter above a number that a caller chose.
func (p *preparer) raise(s *slot, v *table.Version) {
	n := s.num(v)
	taken := int64(n.bits)
	if n.isFloat {
		f := math.Floor(n.float())
		if f >= 1<<63 || f < 1 {
			return // no number that could come
		}
		taken = int64(f)
	}
	c := &p.auto[s.pos]
	for last := c.Load(); taken > last && !c.CompareAndSwap(last, taken); last = c.Load() {
	}
}
