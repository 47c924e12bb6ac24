package peers

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"github.com/google/uuid"
)

// NewRecord returns record i: the same at each call, in memory of its own.
func NewRecord(i int) Record {
	rnd := rand.New(rand.NewPCG(1, uint64(i)))
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], rnd.Uint64())
	binary.BigEndian.PutUint64(id[8:], rnd.Uint64())
	return Record{
		ID: id.String(), Name: fmt.Sprintf("User %d", i), Email: fmt.Sprintf("user%07d@example.com", i),
		Role: roleOf(i), Age: ageOf(i), Value: float64(i),
	}
}

func roleOf(i int) string { return Roles[i%len(Roles)] }
func ageOf(i int) int     { return i % 100 }

func newRecords(from, to int) []Record {
	rs := make([]Record, 0, to-from)
	for i := from; i < to; i++ {
		rs = append(rs, NewRecord(i))
	}
	return rs
}

// chunks calls fn with the records from to to, up to 1,000 at a time.
func chunks(from, to int, fn func([]Record) error) error {
	for lo := from; lo < to; lo += 1000 {
		if err := fn(newRecords(lo, min(lo+1000, to))); err != nil {
			return err
		}
	}
	return nil
}
