package store

// line is what waits in line, first come first served, in memory that is used again.
// Whoever uses it locks.
type line[T any] struct {
	all  []T
	next int // those before it are gone
}

// lineMost is how much room an empty line keeps.
const lineMost = 1 << 16

func (l *line[T]) len() int { return len(l.all) - l.next }

// waiting is those in line; valid until the next call.
func (l *line[T]) waiting() []T { return l.all[l.next:] }

func (l *line[T]) push(v T) {
	if len(l.all) == cap(l.all) && l.next > len(l.all)/2 {
		n := copy(l.all, l.all[l.next:])
		clear(l.all[n:])
		l.all, l.next = l.all[:n], 0
	}
	l.all = append(l.all, v)
}

// pop takes the first one out, which there is.
func (l *line[T]) pop() T {
	var none T
	v := l.all[l.next]
	l.all[l.next] = none
	if l.next++; l.next == len(l.all) {
		if l.all, l.next = l.all[:0], 0; cap(l.all) > lineMost {
			l.all = nil
		}
	}
	return v
}
