package canon

import (
	"reflect"
	"sync"
	"unsafe"
)

const (
	// MaxDepth is how many pointers, slices, maps and interfaces a path into a value may follow.
	MaxDepth = 1000
	// MaxSize is how many bytes an encoding may have. It also bounds the time for values that share parts.
	MaxSize = 1 << 20
)

// Cache holds the compiled types. The zero value is ready, and must not be copied after its first use. All methods are
// safe for concurrent use. Encodings of different Caches have nothing to do with one another.
type Cache struct {
	mu        sync.Mutex // guards overrides and last; held while types are compiled, never while values are read
	overrides map[reflect.Type]EqualFunc
	last      uint64 // number of the last type

	nodes sync.Map // reflect.Type → *node: only complete ones, from which every node can be reached
}

// EqualFunc reports whether the two values of its type that a and b point to are equal. It is safe for concurrent use as
// long as nobody writes the values. Neither pointer may be nil.
type EqualFunc func(a, b unsafe.Pointer) bool

// Override makes eq the equality of values of type t, wherever they are found in other values. It must be an equivalence
// relation in which values that are equal by Go's == are equal, and must be safe for concurrent use. The encoding of t
// stays what it is. Override panics if t is already compiled, which happens with the first type that contains it.
func (c *Cache) Override(t reflect.Type, eq EqualFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.nodes.Load(t); ok {
		panic("canon: Override of " + t.String() + " after its first use")
	}
	if c.overrides == nil {
		c.overrides = map[reflect.Type]EqualFunc{}
	}
	c.overrides[t] = eq
}

// Equal returns the equality of values of type t, as the package comment defines it. Each type has one, even if its values
// are never equal.
func (c *Cache) Equal(t reflect.Type) EqualFunc { return c.node(t).equal }

// Encoder returns the encoder for values of type t, or an [*UnencodableError] if t contains a func, chan or
// unsafe.Pointer. What is behind interfaces is checked when it is encoded.
func (c *Cache) Encoder(t reflect.Type) (*Encoder, error) {
	n := c.node(t)
	if n.refused != nil {
		return nil, n.refused
	}
	return &Encoder{n}, nil
}

func (c *Cache) node(t reflect.Type) *node {
	if n, ok := c.nodes.Load(t); ok {
		return n.(*node)
	}
	return c.compile(t)
}

// compile publishes the nodes of t and of all types that it refers to, when all of them are complete.
func (c *Cache) compile(t reflect.Type) *node {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := builder{cache: c, fresh: map[reflect.Type]*node{}}
	n := b.node(t)
	for len(b.open) > 0 {
		next := b.open[len(b.open)-1]
		b.open = b.open[:len(b.open)-1]
		next.elem = b.node(next.typ.Elem())
		if next.kind == kMap {
			next.key = b.node(next.typ.Key())
		}
	}
	for t, n := range b.fresh {
		c.nodes.Store(t, n)
	}
	return n
}
