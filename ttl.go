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
// events, and updates the indexes. The deadlines of a
// bucket are an ordered index, so that a tick costs what expires, not what
// exists. One goroutine, "ttl", serves all buckets; it starts with the first
// that has a TTL.

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

// planExpiry is the index of deadlines.
func (sh *shape) planExpiry() indexPlan {
	plan := indexPlan{word: true}
	plan.spec.Word = func(v *table.Version) (uint64, bool) {
		m := sh.meta(v)
		return keyenc.Int64(int64(m.ExpiresAt)), m.ExpiresAt != 0
	}
	return plan
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
		if b.def.TTL == 0 {
			continue
		}
		for {
			n, more, err := b.expire(ctx)
			total += n
			if errors.Is(err, ErrBucketNotDefined) {
				break
			}
			if err != nil {
				return total, b.fail("purge", Key{}, err)
			}
			if !more {
				break
			}
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
	return n, more, err
}
