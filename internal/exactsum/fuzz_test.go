package exactsum

import (
	"encoding/binary"
	"math"
	"testing"
)

// FuzzSum reads operations of nine bytes: what to do and the bits of a value. Three sums take part, so that merges meet sums
// of every shape.
func FuzzSum(f *testing.F) {
	add := func(ops ...any) {
		var data []byte
		for i := 0; i < len(ops); i += 2 {
			data = append(data, byte(ops[i].(int)))
			data = binary.LittleEndian.AppendUint64(data, math.Float64bits(ops[i+1].(float64)))
		}
		f.Add(data)
	}
	add(0, 1.0, 0, 0x1p-53, 0, tiny)
	add(0, large, 6, large, 12, large, 5, 0.0)
	add(0, math.Inf(1), 1, math.Inf(1), 2, -1.0)
	add(4, 0.1, 10, 1e200, 5, 0.0, 23, 1.0)
	f.Fuzz(func(t *testing.T, data []byte) {
		var sums [3]Sum
		var models [3]model
		for ops := 0; len(data) >= 9 && ops < 64; ops++ {
			op, bits := int(data[0]), binary.LittleEndian.Uint64(data[1:])
			data = data[9:]
			i := op / 6 % 3
			fuzzOp(op%6, bits, &sums[i], &models[i])
			if op%6 == 5 {
				j := int(bits % 3)
				sums[i].AddSum(&sums[j])
				other := models[j]
				other.sum.Set(&models[j].sum)
				models[i].addModel(&other)
			}
			checkInvariants(t, &sums[i])
		}
		for i := range sums {
			agree(t, &models[i], &sums[i])
		}
	})
}

// fuzzOp does an operation that concerns one sum.
func fuzzOp(op int, bits uint64, s *Sum, m *model) {
	f := math.Float64frombits(bits)
	switch op {
	case 0:
		s.Add(f)
		m.add(f, 1)
	case 1:
		s.Sub(f)
		m.add(f, -1)
	case 2:
		s.AddInt(int64(bits))
		m.addInt(int64(bits), 1)
	case 3:
		s.SubInt(int64(bits))
		m.addInt(int64(bits), -1)
	case 4: // often enough that a window has to be renewed
		fs := make([]float64, 700)
		for i := range fs {
			fs[i] = f
		}
		s.AddFloats(fs)
		m.add(f, len(fs))
	}
}
