package bench

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/noex-go/store"
)

// inserts is the number of records in the reactive program of the npm original,
// which BenchmarkReactive repeats line by line: inserts into an empty bucket, each
// followed by Settle, with subscriptions to all of its records.
const inserts = 500

type note struct {
	ID   string `store:"id,key,generated=uuid"`
	Name string `store:"name,required"`
	store.Meta
}

// reactive is what the program does on one kind of handle.
type reactive struct {
	insert func(name string) error
	// subscribe makes a query of its own for all records, and a subscription to it.
	subscribe func(name string, called func()) error
}

func dynamicNotes(s *store.Store) (reactive, error) {
	h, err := s.DefineBucket(ctx, "notes", store.Definition{Key: "id", Schema: store.Schema{
		"id":   {Type: store.String, Generated: store.UUID},
		"name": {Type: store.String, Required: true},
	}})
	return reactive{
		insert: func(name string) error { _, err := h.Insert(ctx, store.Fields{"name": name}); return err },
		subscribe: subscriber(s, func(q *store.QueryCtx) ([]store.Record, error) {
			return h.In(q).Where().All()
		}),
	}, err
}

func typedNotes(s *store.Store) (reactive, error) {
	h, err := store.Define[note](ctx, s, "notes")
	return reactive{
		insert:    func(name string) error { _, err := h.Insert(ctx, note{Name: name}); return err },
		subscribe: subscriber(s, func(q *store.QueryCtx) ([]note, error) { return h.In(q).Where().All() }),
	}, err
}

func subscriber[R any](s *store.Store, all func(*store.QueryCtx) ([]R, error)) func(string, func()) error {
	return func(name string, called func()) error {
		q, err := store.DefineQuery(s, name, func(q *store.QueryCtx, _ struct{}) ([]R, error) { return all(q) })
		if err != nil {
			return err
		}
		_, err = q.OnChange(ctx, struct{}{}, func([]R) { called() })
		return err
	}
}

func BenchmarkReactive(b *testing.B) {
	handles := []struct {
		name   string
		define func(*store.Store) (reactive, error)
	}{{"dynamic", dynamicNotes}, {"typed", typedNotes}}
	for _, h := range handles {
		b.Run("insert-to-subscriber/"+h.name, func(b *testing.B) { insertToSubscriber(b, h.define) })
	}
	for _, subs := range []int{0, 1, 10} {
		for _, h := range handles {
			b.Run(fmt.Sprintf("insert-and-settle-%d/%s", subs, h.name), func(b *testing.B) {
				insertAndSettle(b, h.define, subs)
			})
		}
	}
}

// insertToSubscriber is the time from before an insert to the call of the
// subscriber's function.
func insertToSubscriber(b *testing.B, define func(*store.Store) (reactive, error)) {
	l := newLatencies()
	var calledAt atomic.Int64
	start := time.Now()
	notes := &notebook{subs: 1, define: define, called: func() { calledAt.Store(int64(time.Since(start))) }}
	for b.Loop() {
		notes.turn(b)
		begin := time.Since(start)
		calledAt.Store(0)
		notes.insert(b)
		at := calledAt.Load()
		if at == 0 {
			b.Fatal("not called")
		}
		l.add(time.Duration(at) - begin)
	}
	notes.close(b)
	l.report(b)
}

func insertAndSettle(b *testing.B, define func(*store.Store) (reactive, error), subs int) {
	b.ReportAllocs()
	notes := &notebook{subs: subs, define: define, called: func() {}}
	for b.Loop() {
		notes.turn(b)
		notes.insert(b)
	}
	notes.close(b)
}

// notebook is the store of the program. It is opened anew, with the clock stopped,
// when the bucket has all its records.
type notebook struct {
	subs   int
	define func(*store.Store) (reactive, error)
	called func()

	s     *store.Store
	on    reactive
	notes int
}

func (n *notebook) turn(b *testing.B) {
	if n.s != nil && n.notes < inserts {
		return
	}
	b.StopTimer()
	n.close(b)
	s, err := store.Open(ctx, store.Options{})
	check(b, err)
	n.s, n.notes = s, 0
	n.on, err = n.define(s)
	check(b, err)
	for i := range n.subs {
		check(b, n.on.subscribe(fmt.Sprint("all-", i), n.called))
	}
	check(b, s.Settle(ctx))
	b.StartTimer()
}

// insert settles only where there is somebody to wait for, as the original does.
func (n *notebook) insert(b *testing.B) {
	if err := n.on.insert(names[n.notes]); err != nil {
		b.Fatal(err)
	}
	n.notes++
	if n.subs > 0 {
		if err := n.s.Settle(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

func (n *notebook) close(b *testing.B) {
	if n.s != nil {
		check(b, n.s.Close(ctx))
	}
	n.s = nil
}

var names = func() (names [inserts]string) {
	for i := range names {
		names[i] = fmt.Sprintf("item-%d", i)
	}
	return names
}()
