package peers

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/tidwall/buntdb"
)

// Why buntdb is not among the engines on disk: when the end of its file is lost,
// as in a crash, it opens with half of the last transaction.
func TestTornTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "buntdb.db")
	db, err := buntdb.Open(path)
	noError(t, err)
	noError(t, db.Update(func(tx *buntdb.Tx) error {
		_, _, err1 := tx.Set("first", "1", nil)
		_, _, err2 := tx.Set("second", "2", nil)
		return errors.Join(err1, err2)
	}))
	noError(t, db.Close())

	info, err := os.Stat(path)
	noError(t, err)
	noError(t, os.Truncate(path, info.Size()-1))
	db, err = buntdb.Open(path)
	noError(t, err)
	defer db.Close()
	noError(t, db.View(func(tx *buntdb.Tx) error {
		_, err1 := tx.Get("first")
		_, err2 := tx.Get("second")
		// One of them is there: it writes a transaction in the order of a map.
		if (err1 == nil) == (err2 == nil) || !errors.Is(errors.Join(err1, err2), buntdb.ErrNotFound) {
			t.Errorf("first: %v, second: %v", err1, err2)
		}
		return nil
	}))
}
