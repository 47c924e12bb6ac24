package exprrules

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestWithoutLookups: what can be judged before a transaction is what the whole would
// have judged first, and nothing else.
func TestWithoutLookups(t *testing.T) {
	for src, want := range map[string]string{
		`a and b`:                          `(a) and (b)`,
		`a and b and exists("x")`:          `(a) and (b)`,
		`a && (b and exists("x"))`:         `(a)`,
		`a and exists("x") and b`:          `(a)`,
		`exists("x") and a`:                ``,
		`a or exists("x")`:                 ``,
		`not (a and exists("x"))`:          ``,
		`a and not exists("x")`:            `(a)`,
		`(a or b) and count("x") > 1`:      `(a or b)`,
		`a == "q\"" and first("x").b == 1`: `(a == "q\"")`,
		`a ? b : exists("x")`:              ``,
		`any(c, # > 1) and find("x") == 1`: `(any(c, # > 1))`,
		`a and`:                            ``,
	} {
		require.Equal(t, want, withoutLookups(src), src)
	}
}
