package canon_test

import (
	"reflect"
	"strconv"
	"testing"
	"unsafe"

	"github.com/noex-go/store/internal/canon"
)

func benchmarkEqual[T any](b *testing.B, build func() T) {
	x, y := build(), build()
	eq := new(canon.Cache).Equal(reflect.TypeFor[T]())
	b.ReportAllocs()
	for b.Loop() {
		if !eq(unsafe.Pointer(&x), unsafe.Pointer(&y)) {
			b.Fatal("unequal")
		}
	}
}

func list1000[T any](at func(i int) T) func() []T {
	return func() []T {
		list := make([]T, 1000)
		for i := range list {
			list[i] = at(i)
		}
		return list
	}
}

func BenchmarkEqual(b *testing.B) {
	type mixed struct {
		ID    int
		Name  string
		Email string
		Age   int
	}
	type ints struct{ A, B, C int }
	b.Run("mixed-1000", func(b *testing.B) {
		benchmarkEqual(b, list1000(func(i int) mixed {
			return mixed{i, "name" + strconv.Itoa(i), strconv.Itoa(i) + "@example.org", i % 90}
		}))
	})
	b.Run("ints-1000", func(b *testing.B) {
		benchmarkEqual(b, list1000(func(i int) ints { return ints{i, i, i} }))
	})
	b.Run("any-1000", func(b *testing.B) {
		benchmarkEqual(b, list1000(func(i int) any { return 1000 + i }))
	})
	b.Run("map-1000", func(b *testing.B) {
		benchmarkEqual(b, func() map[string]int {
			m := map[string]int{}
			for i := range 1000 {
				m[strconv.Itoa(i)] = i
			}
			return m
		})
	})
}

func benchmarkAppend[T any](b *testing.B, v T) {
	e, err := new(canon.Cache).Encoder(reflect.TypeFor[T]())
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 0, 1<<16)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Append(buf, unsafe.Pointer(&v)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	type params struct {
		Role string
		N    int
	}
	b.Run("small", func(b *testing.B) { benchmarkAppend(b, params{"admin", 7}) })
	b.Run("any", func(b *testing.B) { benchmarkAppend(b, []any{"admin", 7}) })
	b.Run("map", func(b *testing.B) { benchmarkAppend(b, map[string]int{"a": 1, "b": 2, "c": 3}) })
}
