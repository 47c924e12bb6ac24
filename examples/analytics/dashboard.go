package main

import (
	"context"
	"errors"
	"time"

	"github.com/noex-go/store"
)

// Hit is one answered request. Hits are many: the window and the bound of their
// bucket decide how many are held.
type Hit struct {
	ID         int64  `store:"id,key,generated=autoincrement"`
	Route      string `store:"route,required,index=latency"`
	Millis     int    `store:"ms,min=0,index=latency"`
	Failed     bool   `store:"failed"`
	store.Meta        // CreatedAt is the time of the hit
}

// Second is the traffic of one second. It outlives the hits that it counts.
type Second struct {
	At   int `store:"at,key"` // since the beginning
	Hits int `store:"hits,min=0"`
}

// Analytics keeps the hits of the last seconds, a longer history of counts, and a
// dashboard over both.
type Analytics struct {
	hits    *store.TypedBucket[Hit]
	seconds *store.TypedBucket[Second]
	route   *store.ReactiveQuery[ofRoute, Route]
	board   *store.ReactiveQuery[struct{}, Dashboard]
}

type ofRoute struct{ Route string }

// Route is what is known of a route within the window.
type Route struct {
	Name       string
	Hits       int
	Failed     int
	Mean       float64 // ms
	P95, Worst int     // ms; 95% of the hits took P95 or less
}

// Dashboard is what is drawn.
type Dashboard struct {
	Routes  []Route
	Span    time.Duration // between the oldest hit that is held and the newest
	Seconds []Second
}

// historySize is how many seconds are remembered.
const historySize = 40

// NewAnalytics defines two bounded buckets and two queries. A hit leaves when it
// is older than the window, or when there are more than most; a second leaves when
// there are more than historySize.
func NewAnalytics(ctx context.Context, s *store.Store, window time.Duration, most int) (*Analytics, error) {
	a := &Analytics{}
	var errs [4]error
	a.hits, errs[0] = store.Define[Hit](ctx, s, "hits", func(d *store.Definition) {
		d.TTL, d.MaxSize = window, most
	})
	a.seconds, errs[1] = store.Define[Second](ctx, s, "seconds", func(d *store.Definition) {
		d.MaxSize = historySize
	})
	a.route, errs[2] = store.DefineQuery(s, "route", a.readRoute)
	a.board, errs[3] = store.DefineQuery(s, "dashboard", a.readDashboard)
	return a, errors.Join(errs[:]...)
}

// readRoute aggregates the hits of a route. It is called again when one of them
// comes or goes; the traffic of other routes does not concern it. All five reads
// show the same commit.
func (a *Analytics) readRoute(q *store.QueryCtx, p ofRoute) (Route, error) {
	hits := a.hits.In(q).Where(store.Eq("route", p.Route))
	n, err := hits.Count()
	failed, err2 := hits.Where(store.Eq("failed", true)).Count()
	mean, err3 := hits.Avg("ms")
	// The index (route, ms) leads from the slowest hit down: of a thousand, the
	// fifty slowest are skipped and one is read.
	slowest := hits.OrderBy(store.Desc("ms"))
	p95, _, err4 := slowest.Offset(n / 20).First()
	worst, _, err5 := slowest.First()
	return Route{p.Route, n, failed, mean, p95.Millis, worst.Millis}, errors.Join(err, err2, err3, err4, err5)
}

// readDashboard asks the query above for each route that has hits. Their results
// are values to it: those that have not changed are not computed again.
func (a *Analytics) readDashboard(q *store.QueryCtx, _ struct{}) (d Dashboard, err error) {
	routes, err := a.hits.In(q).GroupBy("route").Count()
	if err != nil {
		return d, err
	}
	for _, g := range routes {
		r, err := a.route.RunIn(q, ofRoute{g.Key[0].(string)})
		if err != nil {
			return d, err
		}
		d.Routes = append(d.Routes, r)
	}
	oldest, err := a.hits.In(q).First(1)
	if err != nil {
		return d, err
	}
	newest, err := a.hits.In(q).Last(1)
	if err != nil {
		return d, err
	}
	if len(oldest) > 0 {
		d.Span = newest[0].CreatedAt.Time().Sub(oldest[0].CreatedAt.Time())
	}
	d.Seconds, err = a.seconds.In(q).Last(historySize)
	return d, err
}
