package exprrules

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestIndexAgainstScan: the rules that the index has for an event are those that a
// look at all patterns finds, in their order. Replay: RULES_SEED=<printed seed>.
func TestIndexAgainstScan(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if v := os.Getenv("RULES_SEED"); v != "" {
		var err error
		seed, err = strconv.ParseUint(v, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("RULES_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		rs := &ruleset{index: map[string]*[4][]*rule{}}
		for i := range r.IntN(30) {
			pattern := "bucket." + []string{"a", "b", "c", "*"}[r.IntN(4)] + "." + []string{"inserted", "updated", "deleted", "*"}[r.IntN(4)]
			tp, problem := parseTopic(pattern)
			require.Empty(t, problem)
			rs.add(&rule{name: fmt.Sprint(i, " ", pattern), topic: tp})
		}
		for _, bucket := range []string{"a", "b", "c", "d"} {
			for _, typ := range eventTypes {
				var want []*rule
				for _, r := range rs.rules {
					if (r.topic.bucket == "" || r.topic.bucket == bucket) && r.topic.types[typ] {
						want = append(want, r)
					}
				}
				got := rs.of(bucket, typ)
				require.Len(t, got, len(want))
				for i := range want {
					require.Same(t, want[i], got[i])
				}
			}
		}
	}
}
