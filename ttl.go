package store

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/noex-go/store/internal/table"
)

// Expiry is an ordinary write that the store itself issues: it brings deleted
// events, updates the indexes, and is logged. The deadlines of a bucket are an
// ordered index, so that a tick costs what expires, not what exists. One
// goroutine, "ttl", serves all buckets; it starts with the first deadline.
//
// A deadline is a moment of Options.Clock. Whoever deletes a record has compared
// the two at that time: a clock that jumps back expires nothing early.

// maxTTL is the longest TTL: a hundred years.
const maxTTL = 100 * 366 * 24 * time.Hour

// expireBatch bounds the records that one commit of an expiry deletes, so that
// writers get in between.
const expireBatch = 1000

// ParseTTL reads a duration as time.ParseDuration does, with days ("7d",
// "1d12h") besides. Error: what is not a positive duration.
func ParseTTL(s string) (time.Duration, error) {
	rest := s
	var days float64
	if head, tail, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseFloat(head, 64)
		if err != nil || !(n >= 0) || n > 100_000 {
			return 0, fmt.Errorf("store: %q is not a TTL", s)
		}
		days, rest = n, tail
	}
	d := time.Duration(days * float64(24*time.Hour))
	if rest != "" {
		r, err := time.ParseDuration(rest)
		if err != nil || r < 0 {
			return 0, fmt.Errorf("store: %q is not a TTL", s)
		}
		d += r
	}
	if msg := badTTL(d); msg != "" || d == 0 {
		return 0, fmt.Errorf("store: %q is not a TTL", s)
	}
	return d, nil
}

func badTTL(d time.Duration) string {
	switch {
	case d < 0:
		return "the TTL is negative"
	case d > 0 && d < time.Millisecond:
		return "the TTL is shorter than a millisecond"
	case d > maxTTL:
		return "the TTL is longer than a hundred years"
	}
	return ""
}

// deadline turns a time from outside into one, rounded up; 0 for none.
func deadline(x any, now time.Time) (Millis, *valueError) {
	t, err := toTime(x)
	if err != nil {
		return 0, err
	}
	return deadlineAt(t, now)
}

func deadlineAt(t, now time.Time) (Millis, *valueError) {
	if t.IsZero() || t.Equal(time.Unix(0, 0)) {
		return 0, nil
	}
	if !t.After(now) {
		return 0, &valueError{string(CodeMin), "is not in the future"}
	}
	if t.UTC().Year() > 9999 { // UnixMilli would wrap the year around
		return 0, errYear()
	}
	ms := t.UnixMilli()
	if t.After(time.UnixMilli(ms)) {
		ms++
	}
	switch {
	case ms > maxMillis:
		return 0, errYear()
	case ms == 0:
		ms = 1 // 0 is none
	}
	return Millis(ms), nil
}

// endOf is the deadline of a record whose TTL begins at from, rounded up.
func endOf(from Millis, ttl time.Duration) Millis {
	ms := min(from+Millis((ttl+time.Millisecond-1).Milliseconds()), maxMillis)
	if ms == 0 {
		return 1 // 0 is none
	}
	return ms
}

// retime prepares the version that follows old with another deadline.
func (p *preparer) retime(old *table.Version, at Millis, now time.Time) *table.Version {
	v := p.sh.copyOf(old)
	p.stampNext(v, old, now)
	p.sh.meta(v).ExpiresAt = at
	return v
}

// touch gives a record a new deadline: at, or, if that is nil, its bucket's TTL
// from now.
func (b *bucket) touch(ctx context.Context, at *scope, op string, key any, when *time.Time) (*table.Version, error) {
	if when == nil && b.def.TTL == 0 {
		return nil, b.fail(op, b.keyOf(key), ErrNoTTL)
	}
	b.store.startTTL()
	return b.update(ctx, at, op, key, func(old *table.Version) (*table.Version, error) {
		now := b.store.clock()
		ms := endOf(nowMillis(now), b.def.TTL)
		if when != nil {
			var wrong *valueError
			if ms, wrong = deadlineAt(*when, now); wrong != nil {
				return nil, &ValidationError{Bucket: b.name, Issues: []Issue{{metaExpiresAt, Code(wrong.code), wrong.msg}}}
			}
		}
		return b.prep.retime(old, ms, now), nil
	})
}

// startTTL starts the goroutine that purges, if there is to be one.
func (st *Store) startTTL() {
	if st.opt.TTLInterval > 0 && !st.ticking.Load() && !st.closed.Load() && st.ticking.CompareAndSwap(false, true) {
		st.workers.Go("ttl", st.tick)
	}
}

// tick purges at every interval until the store closes. The clock is the user's:
// should it end the goroutine, the next deadline starts another.
func (st *Store) tick() {
	defer st.ticking.Store(false)
	t := time.NewTicker(st.opt.TTLInterval)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			st.purgeInTime()
		case <-st.done:
			return
		}
	}
}

func (st *Store) purgeInTime() {
	defer func() {
		if p := recover(); p != nil {
			st.report("ttl", &PanicError{Value: p, Stack: debug.Stack()})
		}
	}()
	_, err := st.PurgeTTL(context.Background())
	if err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrLogFailed) { // which was told
		st.report("ttl", err)
	}
}

// PurgeTTL deletes every record whose deadline has passed and returns their
// number. The store does the same every Options.TTLInterval. What keeps it from
// one bucket keeps it from no other: the error joins those of all.
func (st *Store) PurgeTTL(ctx context.Context) (int, error) {
	if st.closed.Load() {
		return 0, &Error{Op: "purge", Err: ErrClosed}
	}
	total := 0
	var errs []error
	for _, b := range *st.buckets.Load() {
		n, err := b.purge(ctx)
		total += n
		if err != nil {
			errs = append(errs, b.fail("purge", Key{}, err))
		}
	}
	return total, errors.Join(errs...)
}

// purge deletes the records of a bucket that are due.
func (b *bucket) purge(ctx context.Context) (int, error) {
	for total := 0; ; {
		n, err := b.expire(ctx)
		total += n
		switch {
		case errors.Is(err, errMoved):
			b = b.home.now.Load()
		case errors.Is(err, ErrBucketNotDefined):
			return total, nil
		case err != nil || n < expireBatch:
			return total, err
		}
	}
}

// expire deletes up to expireBatch records that are due, in one commit. The writer
// finds them, so that an update beside it neither saves nor delays one.
func (b *bucket) expire(ctx context.Context) (n int, err error) {
	if n, ok := b.table.At(b.store.pins.Published()).Indexed(b.shape.expiry); ok && n == 0 {
		if !b.current() { // it may have let go of its records
			return 0, errMoved
		}
		return 0, ctx.Err()
	}
	r := b.server.newRequest()
	r.op, r.due = opExpire, nowMillis(b.store.clock())
	return b.submit(ctx, r)
}

// catchUp does what a bucket that was just defined is late for: it deletes what
// expired while it was in the log, and what a bound leaves no room for. If ctx
// ends, the ticker goes on with the one, and the next writes with the other.
func (b *bucket) catchUp(ctx context.Context) {
	if b.def.TTL > 0 || b.nextDeadline(b.table.At(b.store.pins.Published())) != 0 {
		b.store.startTTL()
	}
	if _, err := b.purge(ctx); err == nil {
		_ = b.trim(ctx)
	}
}

// nextDeadline is the first deadline that a view has; 0 if there is none.
func (b *bucket) nextDeadline(view table.View) Millis {
	if n, ok := view.Indexed(b.shape.expiry); ok && n == 0 {
		return 0
	}
	var c table.Cursor
	var first [1]*table.Version
	c.Range(view, b.shape.expiry, table.Range{NoLo: true, NoHi: true}, false)
	if c.Next(first[:], nil) == 0 {
		return 0
	}
	return b.shape.meta(first[0]).ExpiresAt
}
