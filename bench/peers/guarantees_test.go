package peers

import (
	"bytes"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/statedb"
	"github.com/hashicorp/go-memdb"
	"github.com/tidwall/buntdb"
)

// eachIndexed runs fn on every engine in memory; lacks tells whether the peer
// has the footnote.
func eachIndexed(t *testing.T, letter string, fn func(t *testing.T, e Indexed, lacks bool)) {
	for _, p := range Peers {
		if p.OnDisk {
			continue
		}
		t.Run(p.Name, func(t *testing.T) {
			fn(t, openEngine(t, p.Indexed).(Indexed), p.Missing(letter) != "")
		})
	}
}

// twins are two records with the same email.
func twins() (a, b Record) {
	a, b = NewRecord(1), NewRecord(2)
	b.Email = a.Email
	return a, b
}

// Footnote d.
func TestDuplicates(t *testing.T) {
	eachIndexed(t, "d", func(t *testing.T, e Indexed, lacks bool) {
		a, b := twins()
		noError(t, e.Insert(a))
		if err := e.Insert(b); (err == nil) != lacks {
			t.Errorf("the second record with an email: error %v", err)
		}
	})
}

// What is worse: of two records with the same email in a unique index only the
// last can be found by it, and after that one's deletion neither.
func TestDuplicateLosesSurvivor(t *testing.T) {
	for name, c := range map[string]struct {
		open func(string) (Engine, error)
		find func(e Engine, email string) *Record
	}{
		"go-memdb": {memdbIndexed, func(e Engine, email string) *Record {
			v, _ := e.(*memDB).db.Txn(false).First("users", "email", email)
			r, _ := v.(*Record)
			return r
		}},
		"statedb": {statedbIndexed, func(e Engine, email string) *Record {
			s := e.(*stateDB)
			r, _, _ := s.users.Get(s.db.ReadTxn(), statedbEmail.Query(email))
			return r
		}},
	} {
		t.Run(name, func(t *testing.T) {
			e := openEngine(t, c.open)
			a, b := twins()
			noError(t, e.Insert(a))
			noError(t, e.Insert(b))
			if r := c.find(e, a.Email); r == nil || *r != b {
				t.Errorf("by email: %v, want the last, %v", r, b)
			}
			noError(t, e.Delete(b.ID))
			if _, ok := e.Get(a.ID); !ok {
				t.Error("the survivor is not there")
			}
			if r := c.find(e, a.Email); r != nil {
				t.Errorf("by email the survivor is found: %v", r)
			}
		})
	}
}

// Footnote h. Each engine gets the idiom of its documentation: a function of
// buntdb, a deferred Abort elsewhere.
func TestPanicInTransaction(t *testing.T) {
	set := func(r *Record) { r.Value = -1 }
	eachIndexed(t, "h", func(t *testing.T, e Indexed, lacks bool) {
		r := NewRecord(1)
		noError(t, e.Insert(r))
		switch e := e.(type) {
		case *memDB:
			panics(t, func() {
				_ = e.write(func(tx *memdb.Txn) error { noError(t, memdbChange(tx, "users", r.ID, set)); panic(0) })
			})
		case *stateDB:
			panics(t, func() {
				_ = e.write(func(tx statedb.WriteTxn) error { noError(t, statedbChange(tx, e.users, r.ID, set)); panic(0) }, e.users)
			})
		case *buntDB:
			panics(t, func() {
				_ = e.db.Update(func(tx *buntdb.Tx) error { noError(t, buntChange(tx, buntUsers, r.ID, set)); panic(0) })
			})
		case *ours:
			_ = e.update(r.ID, func(u *user) error { set((*Record)(u)); panic(0) })
		default:
			t.Skip("SQL has no function to panic in, the floor no transaction")
		}
		if got, _ := e.Get(r.ID); (got.Value == -1) != lacks {
			t.Errorf("after the panic: %v", got)
		}
	})
}

func panics(t *testing.T, fn func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	fn()
}

// Footnote n.
func TestHalfDone(t *testing.T) {
	eachIndexed(t, "n", func(t *testing.T, e Indexed, lacks bool) {
		a, b := NewRecord(1), NewRecord(2)
		noError(t, e.Insert(b))
		b.Email = "other@example.com" // only the key is taken
		if err := e.InsertMany([]Record{a, b}); !errors.Is(err, ErrExists) {
			t.Fatalf("a key that exists: error %v", err)
		}
		if _, ok := e.Get(a.ID); ok != lacks {
			t.Errorf("the record before the one that failed is there: %v", ok)
		}
	})
}

// Footnote w: a read within a write returns, or else is seen to wait.
func TestReadDuringWrite(t *testing.T) {
	eachIndexed(t, "w", func(t *testing.T, e Indexed, lacks bool) {
		r := NewRecord(1)
		noError(t, e.Insert(r))
		read := func() {
			if got, ok := e.Get(r.ID); !ok || got != r {
				t.Errorf("read %v %v, want %v", got, ok, r)
			}
		}
		during := read
		done := make(chan struct{})
		if lacks {
			during = func() {
				go func() { defer close(done); read() }()
				waitUntilBlocked(e, "Get")
			}
		} else {
			close(done)
		}
		writeDuring(t, e, r.ID, during)
		<-done
	})
}

// writeDuring calls fn in a write, which it then takes back.
func writeDuring(t *testing.T, e Engine, id string, fn func()) {
	stop := errors.New("stop")
	set := func(r *Record) { r.Value = -1 }
	var err error
	switch e := e.(type) {
	case *memDB:
		err = e.write(func(tx *memdb.Txn) error { defer fn(); return errors.Join(memdbChange(tx, "users", id, set), stop) })
	case *stateDB:
		err = e.write(func(tx statedb.WriteTxn) error {
			defer fn()
			return errors.Join(statedbChange(tx, e.users, id, set), stop)
		}, e.users)
	case *buntDB:
		err = e.db.Update(func(tx *buntdb.Tx) error { defer fn(); return errors.Join(buntChange(tx, buntUsers, id, set), stop) })
	case *sqlite:
		tx, beginErr := e.db.Begin()
		noError(t, beginErr)
		noError(t, sqliteUpdate(tx.Stmt(e.setValue), -1, id))
		fn()
		noError(t, tx.Rollback())
		err = stop
	case *floor:
		e.mu.Lock()
		fn()
		e.mu.Unlock()
		err = stop
	case *ours:
		err = e.update(id, func(u *user) error { set((*Record)(u)); fn(); return stop })
	}
	if !errors.Is(err, stop) {
		t.Fatalf("the write: %v", err)
	}
}

// waitUntilBlocked returns when a goroutine is in the method of the engine and waits there: for the
// only connection, or for the lock.
func waitUntilBlocked(e Engine, method string) {
	if s, ok := e.(*sqlite); ok {
		for s.db.Stats().WaitCount == 0 {
			runtime.Gosched()
		}
		return
	}
	stacks := make([]byte, 1<<20)
	for {
		all := string(stacks[:runtime.Stack(stacks, true)])
		for g := range strings.SplitSeq(all, "\n\n") {
			if strings.Contains(g, "sync.(*RWMutex).") && strings.Contains(g, ")."+method+"(") {
				return
			}
		}
		runtime.Gosched()
	}
}

// Footnote r: writes within a read return, and the read does not see them; or else the first is seen to wait.
func TestWriteDuringRead(t *testing.T) {
	eachIndexed(t, "r", func(t *testing.T, e Indexed, lacks bool) {
		var rs []Record
		for i := range 50 {
			r := NewRecord(i)
			r.Role = Roles[0]
			rs = append(rs, r)
		}
		noError(t, e.InsertMany(rs))
		written := make(chan error)
		write := func() {
			var err error
			for _, r := range rs {
				err = errors.Join(err, e.UpdateValue(r.ID, -1))
			}
			written <- err
		}
		seen := 0
		noError(t, e.EachByRole(Roles[0], func(r *Record) bool {
			if seen++; seen == 1 {
				go write()
				if lacks {
					waitUntilBlocked(e, "UpdateValue")
				} else {
					noError(t, <-written)
				}
			}
			if r.Value == -1 {
				t.Errorf("record %d of the read is of a later state", seen)
			}
			return true
		}))
		if seen != len(rs) {
			t.Errorf("%d records, want %d", seen, len(rs))
		}
		if lacks {
			noError(t, <-written)
		}
	})
}

// Footnote o: a delete leaves the order of the others.
func TestOrderStays(t *testing.T) {
	eachIndexed(t, "o", func(t *testing.T, e Indexed, lacks bool) {
		for i := range 30 {
			noError(t, e.Insert(NewRecord(i)))
		}
		ids := func() (list []string) {
			noError(t, e.EachByRole(Roles[0], func(r *Record) bool { list = append(list, r.ID); return true }))
			return list
		}
		before := ids()
		noError(t, e.Delete(before[2]))
		if stays := slices.Equal(ids(), slices.Delete(before, 2, 3)); stays == lacks {
			t.Errorf("the order stays: %v", stays)
		}
	})
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The form in which buntdb and bbolt store a record loses nothing.
func TestText(t *testing.T) {
	r := NewRecord(123)
	r.Age = 65535
	text := encode(r)
	if got := decode(r.ID, text); got != r || textAge(text) != string(bytes.Repeat([]byte{255}, 2)) {
		t.Errorf("%v, want %v", got, r)
	}
}
