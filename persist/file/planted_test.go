package file

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store/persist/persisttest"
)

// planted switches a mistake on.
func planted(b bugs) Option { return func(c *config) { c.bugs = b } }

// The tests that hold the guarantees find the mistakes that they are there to find.
func TestPlantedBugs(t *testing.T) {
	crashes := func(b bugs) error {
		for seed := range uint64(10) {
			if _, err := persisttest.CrashOnce(onFS(planted(b)), seed, 25); err != nil {
				return err
			}
		}
		return nil
	}
	require.Error(t, crashes(bugs{noDirSync: true}))
	require.Error(t, crashes(bugs{earlySync: true}))
	require.Error(t, crashes(bugs{noChecksum: true}))

	_, err := persisttest.FaultsOnce(onFS(planted(bugs{earlySync: true})), 1, 14)
	require.Error(t, err)

	dir := newFixture(t, true)
	require.NoError(t, dir.flips(t, bugs{}))
	require.ErrorIs(t, dir.flips(t, bugs{noChecksum: true}), errWrongData)
}

var errWrongData = errors.New("wrong data")
