package store_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/noex-go/store"
)

// Results as text, which is equal for results that are equal.

func liveShowEvent(ev store.QueryEvent[any]) string {
	if ev.Err != nil {
		return liveError(ev.Err)
	}
	return liveShow(ev.Result)
}

var liveQueryName = regexp.MustCompile(`query "[^"]*": `)

// liveError is an error apart from the names of the queries that it came through.
func liveError(err error) string {
	return "error: " + liveQueryName.ReplaceAllString(err.Error(), "")
}

// liveShow is equal for results that are equal.
func liveShow(v any) string {
	switch x := v.(type) {
	case store.Record:
		if x.IsZero() {
			return "no record"
		}
		return liveShow(x.Map())
	case []store.Record:
		return liveList(x)
	case doc[string]:
		return liveShowDoc(x.Meta, docValues(x))
	case doc[int64]:
		return liveShowDoc(x.Meta, docValues(x))
	case []doc[string]:
		return liveList(x)
	case []doc[int64]:
		return liveList(x)
	case []any:
		return liveList(x)
	case []store.Group[int]:
		return liveGroups(x)
	case []store.Group[float64]:
		return liveGroups(x)
	case []store.Group[any]:
		return liveGroups(x)
	case map[string]any:
		var b strings.Builder
		for _, k := range slices.Sorted(maps.Keys(x)) {
			fmt.Fprintf(&b, "%q=%s ", k, liveShow(x[k]))
		}
		return "{" + b.String() + "}"
	case float64:
		return fmt.Sprintf("f%v", x+0)
	case []byte: // in a struct, nothing and nothing in it are the same result
		return fmt.Sprintf("bytes %q", x)
	case time.Time:
		return x.UTC().Format(time.RFC3339Nano)
	}
	return fmt.Sprintf("%T %#v", v, v)
}

// liveShowDoc takes an empty slice or map of a struct for none, as the comparison
// of results does.
func liveShowDoc(meta store.Meta, vals values) string {
	maps.DeleteFunc(vals, func(_ string, v any) bool {
		switch x := v.(type) {
		case []byte:
			return len(x) == 0
		case []any:
			return len(x) == 0
		case map[string]any:
			return len(x) == 0
		}
		return v == nil
	})
	return liveShow(map[string]any(vals)) + fmt.Sprint(meta)
}

func liveList[E any](list []E) string {
	var b strings.Builder
	for _, e := range list {
		b.WriteString(liveShow(e) + ", ")
	}
	return "[" + b.String() + "]"
}

func liveGroups[V any](list []store.Group[V]) string {
	var b strings.Builder
	for _, g := range list {
		b.WriteString(liveShow(g.Key) + ": " + liveShow(g.Value) + ", ")
	}
	return "groups[" + b.String() + "]"
}
