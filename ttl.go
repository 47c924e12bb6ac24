package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/noex-go/store/internal/keyenc"
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
	ms := t.UnixMilli()
	if t.After(time.UnixMilli(ms)) {
		ms++
	}
	if ms > maxMillis {
		return 0, errYear()
	}
	return Millis(ms), nil
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
		ms := nowMillis(now) + Millis(b.def.TTL.Milliseconds())
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

// tick purges at every interval until the store closes.
func (st *Store) tick() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	t := time.NewTicker(st.opt.TTLInterval)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			if _, err := st.PurgeTTL(ctx); err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrLogFailed) { // which was told
				st.report("ttl", err)
			}
		case <-st.done:
			return
		}
	}
}

// PurgeTTL deletes every record whose deadline has passed and returns their
// number. The store does the same every Options.TTLInterval.
func (st *Store) PurgeTTL(ctx context.Context) (int, error) {
	if st.closed.Load() {
		return 0, &Error{Op: "purge", Err: ErrClosed}
	}
	total := 0
	for _, b := range *st.buckets.Load() {
		n, err := b.purge(ctx)
		total += n
		if err != nil {
			return total, b.fail("purge", Key{}, err)
		}
	}
	return total, nil
}

// purge deletes the records of a bucket that are due.
func (b *bucket) purge(ctx context.Context) (total int, err error) {
	for more := true; more; {
		var n int
		n, more, err = b.expire(ctx)
		total += n
		switch {
		case errors.Is(err, errMoved):
			b, more = b.home.now.Load(), true
		case errors.Is(err, ErrBucketNotDefined):
			return total, nil
		case err != nil:
			return total, err
		}
	}
	return total, nil
}

// expire deletes up to expireBatch records that are due. Each is looked at once
// more by the writer, so that an update beside it neither saves nor delays it.
// more reports that others may be due.
func (b *bucket) expire(ctx context.Context) (n int, more bool, err error) {
	r := b.server.newRequest()
	r.due = nowMillis(b.store.clock())
	due := table.Range{NoLo: true, Hi: table.Key{Word: keyenc.Int64(int64(r.due) + 1)}}
	l := b.acquire()
	if !b.current() {
		b.release(l)
		b.server.free(r)
		return 0, false, errMoved
	}
	var c table.Cursor
	var buf [batchRows]*table.Version
	c.Range(b.table.At(l.pin.Seq), b.shape.expiry, due, false)
	for len(r.many) < expireBatch {
		n := c.Next(buf[:min(len(buf), expireBatch-len(r.many))], nil)
		if n == 0 {
			break
		}
		for _, v := range buf[:n] {
			k := b.shape.keyOf(v)
			r.many = append(r.many, step{op: opExpire, text: k.text, word: k.word})
		}
	}
	b.release(l)
	if len(r.many) == 0 {
		b.server.free(r)
		return 0, false, nil
	}
	more = len(r.many) == expireBatch
	n, err = b.submit(ctx, r)
	b.room.expired.Add(int64(n))
	return n, more, err
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
