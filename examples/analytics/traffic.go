package main

import (
	"math/rand/v2"
	"time"
)

// traffic makes up hits. The same seed makes the same ones.
type traffic struct {
	r    *rand.Rand
	rate float64 // hits a second
	due  float64 // hits that have come due and were not made yet

	level float64 // of the current second, as a share of the rate
	left  time.Duration
}

// routes are what is asked for: in which share of the hits (of 100), and how long
// an answer takes.
var routes = []struct {
	name        string
	share       int
	least, most int // ms
}{
	{"/search", 45, 20, 90},
	{"/products", 30, 5, 30},
	{"/cart", 15, 10, 50},
	{"/checkout", 10, 60, 200},
}

func newTraffic(seed uint64, rate float64) *traffic {
	return &traffic{r: rand.New(rand.NewPCG(seed, 0)), rate: rate}
}

// next returns the hits of the next while. Each second has more or fewer of them
// than the mean by up to a half. In trouble, the checkout is slow and fails often.
func (t *traffic) next(d time.Duration, trouble bool) []Hit {
	if t.left -= d; t.left < 0 {
		t.level, t.left = 0.5+t.r.Float64(), time.Second-d
	}
	t.due += t.rate * t.level * d.Seconds()
	hits := make([]Hit, int(t.due))
	t.due -= float64(len(hits))
	for i := range hits {
		hits[i] = t.hit(trouble)
	}
	return hits
}

func (t *traffic) hit(trouble bool) Hit {
	n, at := t.r.IntN(100), 0
	for n >= routes[at].share {
		n -= routes[at].share
		at++
	}
	route := routes[at]
	h := Hit{Route: route.name, Millis: route.least + t.r.IntN(route.most-route.least)}
	fails := 1 // in 200
	if trouble && route.name == "/checkout" {
		h.Millis *= 6
		fails = 60
	}
	h.Failed = t.r.IntN(200) < fails
	return h
}
