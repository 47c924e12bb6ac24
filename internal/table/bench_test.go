package table

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
)

// The table alone: the lines on which its design was chosen. Keys are visited
// in random order; every write is a commit of its own.

func benchKey(i int) string   { return fmt.Sprintf("%08x-0000-4000-8000-%012x", i*2654435761, i) }
func benchEmail(i int) string { return fmt.Sprintf("user%07d@example.com", i) }

var benchRoles = [...]string{"admin", "user", "guest"}

// benchStore fills a table with the four indexes, or with the key and the
// ordered index over many distinct values only.
func benchStore(n int, full bool) (*store, []string) {
	p := NewPins(0)
	cfg := testConfig(p)
	if full {
		cfg.Indexes = cfg.Indexes[:3]
	} else {
		cfg.Indexes = cfg.Indexes[:1]
	}
	s := &store{p, New(cfg)}
	ids := make([]string, n)
	for _, i := range rand.New(rand.NewPCG(1, 1)).Perm(n) {
		ids[i] = benchKey(i)
		s.t.Insert(&benchRec(i).Version)
	}
	s.commit()
	rand.New(rand.NewPCG(1, 2)).Shuffle(n, func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	return s, ids
}

func benchRec(i int) *rec {
	return &rec{id: benchKey(i), email: benchEmail(i), role: benchRoles[i%3], age: int64(i % 100)}
}

func sizes(b *testing.B, fn func(b *testing.B, n int)) {
	for _, n := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			if testing.Short() && n > 10_000 {
				b.Skip("short")
			}
			fn(b, n)
		})
	}
}

func BenchmarkGetByKey(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		s, ids := benchStore(n, false)
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			if s.t.GetText(ids[i]) == nil {
				b.Fatal("missing")
			}
			if i++; i == n {
				i = 0
			}
		}
	})
}

func BenchmarkGetByKeyParallel(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		s, ids := benchStore(n, false)
		b.ReportAllocs()
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for i := rand.IntN(n); pb.Next(); i++ {
				if s.t.GetText(ids[i%n]) == nil {
					b.Fatal("missing")
				}
			}
		})
	})
}

func BenchmarkGetByEmail(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		s, _ := benchStore(n, false)
		emails := make([]string, n)
		for i := range emails {
			emails[i] = benchEmail(i)
		}
		rand.Shuffle(n, func(i, j int) { emails[i], emails[j] = emails[j], emails[i] })
		b.ReportAllocs()
		i, found := 0, 0
		var c Cursor
		var buf [1]*Version
		for b.Loop() {
			pin := s.pins.Acquire()
			c.Lookup(s.t.At(pin.Seq), byEmail, Key{Text: emails[i]})
			found += c.Next(buf[:1], nil)
			s.pins.Release(pin)
			if i++; i == n {
				i = 0
			}
		}
	})
}

func benchInsert(b *testing.B, full bool, group int) {
	sizes(b, func(b *testing.B, n int) {
		b.ReportAllocs()
		var s *store
		var fresh []*rec
		k := 0
		for b.Loop() {
			if k == len(fresh) {
				b.StopTimer()
				s, _ = benchStore(n, full)
				fresh = make([]*rec, n/2)
				for i := range fresh {
					fresh[i] = benchRec(n + i)
				}
				rand.Shuffle(len(fresh), func(i, j int) { fresh[i], fresh[j] = fresh[j], fresh[i] })
				k = 0
				runtime.GC()
				b.StartTimer()
			}
			r := *copyRec(fresh[k])
			if s.t.Insert(&r.Version) != NoConflict {
				b.Fatal("conflict")
			}
			if k++; k%group == 0 {
				s.commit()
			}
		}
	})
}

func BenchmarkInsert1(b *testing.B)      { benchInsert(b, false, 1) }
func BenchmarkInsert1Full(b *testing.B)  { benchInsert(b, true, 1) }
func BenchmarkBulk1000(b *testing.B)     { benchInsert(b, false, 1000) }
func BenchmarkBulk1000Full(b *testing.B) { benchInsert(b, true, 1000) }

func benchUpdate(b *testing.B, held, full bool, change func(r *rec, i int) uint64) {
	sizes(b, func(b *testing.B, n int) {
		s, ids := benchStore(n, full)
		if held {
			pin := s.pins.AcquireLong()
			defer s.pins.Release(pin)
		}
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			at := s.t.HeadText(ids[i%n])
			r := copyRec(of(at.V))
			if s.t.Update(at, &r.Version, change(r, i)) != NoConflict {
				b.Fatal("conflict")
			}
			s.commit()
			i++
		}
	})
}

func unindexed(r *rec, i int) uint64 { r.value = float64(i); return 0 }
func email(r *rec, i int) uint64 {
	r.email = fmt.Sprintf("new%08d@example.com", i)
	return 1 << byEmail
}

func twoFields(r *rec, i int) uint64 {
	r.role, r.age = benchRoles[(r.age+1)%3], (r.age+7)%100
	return 1<<byRole | 1<<byAge
}

func BenchmarkUpdateUnindexed(b *testing.B)     { benchUpdate(b, false, false, unindexed) }
func BenchmarkUpdateEmail(b *testing.B)         { benchUpdate(b, false, false, email) }
func BenchmarkUpdateTwo(b *testing.B)           { benchUpdate(b, false, true, twoFields) }
func BenchmarkUpdateUnindexedHeld(b *testing.B) { benchUpdate(b, true, false, unindexed) }
func BenchmarkUpdateEmailHeld(b *testing.B)     { benchUpdate(b, true, false, email) }

func BenchmarkDelete1(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		b.ReportAllocs()
		var s *store
		var ids []string
		k := 0
		for b.Loop() {
			if k == len(ids) {
				b.StopTimer()
				s, ids = benchStore(n, false)
				k = 0
				runtime.GC()
				b.StartTimer()
			}
			s.t.Delete(s.t.HeadText(ids[k]), 0)
			s.commit()
			k++
		}
	})
}

func BenchmarkRange100(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		s, _ := benchStore(n, false)
		b.ReportAllocs()
		seen := 0
		var c Cursor
		var buf [100]*Version
		for b.Loop() {
			pin := s.pins.Acquire()
			g := Range{Lo: Key{Text: benchEmail(rand.IntN(n - 100))}, NoHi: true}
			c.Range(s.t.At(pin.Seq), byEmail, g, false)
			seen += c.Next(buf[:], nil)
			s.pins.Release(pin)
		}
	})
}

func sumValues(c *Cursor) (sum float64) {
	var buf [128]*Version
	for n := c.Next(buf[:], nil); n > 0; n = c.Next(buf[:], nil) {
		for _, u := range buf[:n] {
			sum += of(u).value
		}
	}
	return sum
}

func BenchmarkScan(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		s, _ := benchStore(n, false)
		sum := 0.0
		for b.Loop() {
			pin := s.pins.Acquire()
			var c Cursor
			c.Scan(s.t.At(pin.Seq), false)
			sum += sumValues(&c)
			s.pins.Release(pin)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/record")
	})
}

func BenchmarkLookupThird(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		s, _ := benchStore(n, true)
		sum := 0.0
		b.ReportAllocs()
		for b.Loop() {
			pin := s.pins.Acquire()
			var c Cursor
			c.Lookup(s.t.At(pin.Seq), byRole, Key{Text: "user"})
			sum += sumValues(&c)
			s.pins.Release(pin)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n/3), "ns/record")
	})
}

func BenchmarkCountKey(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		s, _ := benchStore(n, true)
		b.ReportAllocs()
		for b.Loop() {
			pin := s.pins.Acquire()
			if s.t.At(pin.Seq).CountKey(byRole, Key{Text: "user"}) < n/4 {
				b.Fatal("count")
			}
			s.pins.Release(pin)
		}
	})
}

// BenchmarkMemory reports bytes per record: the whole, under a held snapshot
// after everything was overwritten 10 times, and after its release.
func BenchmarkMemory(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		for b.Loop() {
			base := heap()
			s, ids := benchStore(n, true)
			whole := heap() - base - float64(16*n) - float64(48*n) // ids
			pin := s.pins.AcquireLong()
			for round := range 10 {
				for _, id := range ids {
					at := s.t.HeadText(id)
					r := copyRec(of(at.V))
					touched := unindexed(r, round)
					if round < 3 {
						r.age = (r.age + 1) % 100
						touched = 1 << byAge
					}
					s.t.Update(at, &r.Version, touched)
					s.commit()
				}
			}
			held := heap() - base - float64(64*n)
			s.pins.Release(pin)
			for s.t.Sweep(1 << 20) {
			}
			after := heap() - base - float64(64*n)
			b.ReportMetric(whole/float64(n), "B/record")
			b.ReportMetric(held/float64(n), "B/record-held")
			b.ReportMetric(after/float64(n), "B/record-after")
			runtime.KeepAlive(s)
		}
	})
}

func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
