package reactive

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
)

// region is what a benchmark adds and where it looks for it.
type region struct {
	point string
	iv    Interval
	at    string
}

// shapes are the two common ones: queries fixed by equality alone, and ranges that do not meet.
var shapes = []struct {
	name string
	make func(i int) region
}{
	{"points", func(i int) region { return region{name(i), everything, key(i)} }},
	{"intervals", func(i int) region { return region{"", span(2*i, 2*i+1), key(2 * i)} }},
}

// eachShape runs fn for regions in random order, the same in each run.
func eachShape(b *testing.B, fn func(b *testing.B, regions []region)) {
	for _, shape := range shapes {
		for _, n := range []int{100, 10_000, 100_000} {
			b.Run(fmt.Sprintf("%s=%d", shape.name, n), func(b *testing.B) {
				regions := make([]region, n)
				for i, j := range rand.New(rand.NewPCG(1, 2)).Perm(n) {
					regions[i] = shape.make(j)
				}
				b.ReportAllocs()
				b.ResetTimer()
				fn(b, regions)
			})
		}
	}
}

func fill(regions []region) (r *Regions[*int], places []*Place[*int]) {
	r = new(Regions[*int])
	places = make([]*Place[*int], len(regions))
	w := new(int)
	for i, x := range regions {
		places[i] = r.Add(x.point, x.iv, w)
	}
	return r, places
}

// BenchmarkAdd fills a set from empty, again and again.
func BenchmarkAdd(b *testing.B) {
	eachShape(b, func(b *testing.B, regions []region) {
		w := new(int)
		r, i := new(Regions[*int]), 0
		for b.Loop() {
			if i == len(regions) {
				r, i = new(Regions[*int]), 0
			}
			r.Add(regions[i].point, regions[i].iv, w)
			i++
		}
	})
}

// BenchmarkRemove empties a set in an order that is not that of Add; filling it is not timed.
func BenchmarkRemove(b *testing.B) {
	eachShape(b, func(b *testing.B, regions []region) {
		var r *Regions[*int]
		var places []*Place[*int]
		for i := range b.N {
			if i%len(regions) == 0 {
				b.StopTimer()
				r, places = fill(regions)
				rand.New(rand.NewPCG(3, 4)).Shuffle(len(places), func(i, j int) { places[i], places[j] = places[j], places[i] })
				b.StartTimer()
			}
			r.Remove(places[i%len(regions)])
		}
	})
}

// BenchmarkAt finds one watcher of as many as there are, another one each time.
func BenchmarkAt(b *testing.B) {
	eachShape(b, func(b *testing.B, regions []region) {
		r, _ := fill(regions)
		points, ats := make([][]byte, len(regions)), make([][]byte, len(regions))
		for i, j := range rand.New(rand.NewPCG(5, 6)).Perm(len(regions)) {
			points[i], ats[i] = []byte(regions[j].point), []byte(regions[j].at)
		}
		i, found, visited, rounds := 0, 0, 0, 0
		for b.Loop() {
			visited += r.At(points[i], ats[i], func(*int) { found++ })
			rounds++
			if i++; i == len(regions) {
				i = 0
			}
		}
		if found != rounds {
			b.Fatalf("%d found in %d rounds", found, rounds)
		}
		b.ReportMetric(float64(visited)/float64(rounds), "visited/op")
	})
}

// BenchmarkShared adds and removes one watcher of a region that as many others watch.
func BenchmarkShared(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("watchers=%d", n), func(b *testing.B) {
			r, w, iv := new(Regions[*int]), new(int), span(1, 2)
			for range n {
				r.Add("p", iv, w)
			}
			b.ReportAllocs()
			for b.Loop() {
				r.Remove(r.Add("p", iv, w))
			}
		})
	}
}

// BenchmarkMemory reports what one watcher costs, its own copies of the point and the bounds included. One round is a
// whole set.
func BenchmarkMemory(b *testing.B) {
	eachShape(b, func(b *testing.B, regions []region) {
		w := new(int)
		total := 0.0
		for b.Loop() {
			before := heap()
			r := new(Regions[*int])
			for _, x := range regions {
				iv := Interval{Lo: clone(x.iv.Lo), Hi: clone(x.iv.Hi), NoHi: x.iv.NoHi}
				r.Add(clone(x.point), iv, w)
			}
			total += float64(heap() - before)
			runtime.KeepAlive(r)
		}
		b.ReportMetric(total/float64(b.N)/float64(len(regions)), "B/watcher")
	})
}

func clone(s string) string { return string([]byte(s)) }

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
