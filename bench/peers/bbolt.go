package peers

import (
	"errors"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// bolt is bbolt, a B+tree in a file, for the durable lines. It has no indexes.
type bolt struct{ db *bbolt.DB }

var boltUsers = []byte("users")

func bboltSync(dir string) (Engine, error) { return openBolt(dir, bbolt.Options{}) }

func bboltNoSync(dir string) (Engine, error) { return openBolt(dir, bbolt.Options{NoSync: true}) }

func openBolt(dir string, o bbolt.Options) (Engine, error) {
	o.FreelistType = bbolt.FreelistMapType // the fast one
	db, err := bbolt.Open(filepath.Join(dir, "bbolt.db"), 0o600, &o)
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(boltUsers)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &bolt{db}, nil
}

func (b *bolt) Close() error { return b.db.Close() }

func (b *bolt) Get(id string) (r Record, ok bool) {
	err := b.db.View(func(tx *bbolt.Tx) error {
		if text := tx.Bucket(boltUsers).Get([]byte(id)); text != nil {
			r, ok = decode(id, string(text)), true
		}
		return nil
	})
	return r, ok && err == nil
}

func (b *bolt) Insert(r Record) error {
	return b.db.Update(func(tx *bbolt.Tx) error { return boltInsert(tx.Bucket(boltUsers), r) })
}

// InsertBatched is what the documentation of bbolt recommends for concurrent
// writers; MaxBatchDelay is its default.
func (b *bolt) InsertBatched(r Record) error {
	return b.db.Batch(func(tx *bbolt.Tx) error { return boltInsert(tx.Bucket(boltUsers), r) })
}

func (b *bolt) InsertMany(rs []Record) error {
	return b.db.Update(func(tx *bbolt.Tx) error {
		for _, r := range rs {
			if err := boltInsert(tx.Bucket(boltUsers), r); err != nil {
				return err
			}
		}
		return nil
	})
}

func boltInsert(users *bbolt.Bucket, r Record) error {
	key := []byte(r.ID)
	if users.Get(key) != nil {
		return ErrExists
	}
	return users.Put(key, []byte(encode(r)))
}

func (b *bolt) UpdateValue(id string, value float64) error {
	return b.db.Update(func(tx *bbolt.Tx) error {
		users, key := tx.Bucket(boltUsers), []byte(id)
		text := users.Get(key)
		if text == nil {
			return ErrMissing
		}
		r := decode(id, string(text))
		r.Value = value
		return users.Put(key, []byte(encode(r)))
	})
}

func (b *bolt) Delete(id string) error {
	return b.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(boltUsers).Delete([]byte(id)) })
}
