package keyenc_test

import (
	"testing"

	"github.com/noex-go/store/internal/keyenc"
)

func BenchmarkAppendInt(b *testing.B) {
	buf := make([]byte, 0, 64)
	b.ReportAllocs()
	for i := int64(0); b.Loop(); i++ {
		buf = keyenc.AppendInt(buf[:0], i<<40|i)
	}
}

func BenchmarkAppendString(b *testing.B) {
	for name, s := range map[string]string{
		"plain":   "customer-0000000042",
		"escaped": "customer\x00000\x0000042",
	} {
		b.Run(name, func(b *testing.B) {
			buf := make([]byte, 0, 64)
			b.ReportAllocs()
			for b.Loop() {
				buf = keyenc.AppendString(buf[:0], s)
			}
		})
	}
}

func BenchmarkAppendTuple2(b *testing.B) {
	buf := make([]byte, 0, 64)
	b.ReportAllocs()
	for i := int64(0); b.Loop(); i++ {
		buf = keyenc.AppendInt(keyenc.AppendString(buf[:0], "customer-0000000042"), i)
	}
}

func BenchmarkNextTuple2(b *testing.B) {
	key := keyenc.AppendInt(keyenc.AppendString(nil, "customer-0000000042"), 42)
	b.ReportAllocs()
	for b.Loop() {
		for rest := key; len(rest) > 0; {
			var err error
			if _, rest, err = keyenc.Next(rest); err != nil {
				b.Fatal(err)
			}
		}
	}
}
