package store

import (
	"context"
	"runtime"
	"testing"
	"time"
	"unsafe"
	"weak"

	"github.com/stretchr/testify/require"
)

type listed struct {
	ID   string `store:"id,key"`
	Role string `store:"role,enum=admin|user,index"`
	Name string `store:"name"`
}

// A value of an enum is the definition's own string in each record, and one that an
// update does not change stays where it is: the buffer that a caller cut it from does
// not stay alive.
func TestEnumKeepsNoBuffer(t *testing.T) {
	ctx := context.Background()
	st, err := Open(ctx, Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, st.Close(ctx)) }()
	h, err := Define[listed](ctx, st, "b")
	require.NoError(t, err)

	sh := h.home.now.Load().shape
	role := &sh.slots[sh.byName["role"]]
	write := func(fn func(cut func(string) string)) {
		buf := new([1 << 16]byte)
		fn(func(s string) string {
			return unsafe.String(&buf[0], copy(buf[:], s))
		})
		request := weak.Make(buf)
		buf = nil
		rs, err := h.Dynamic().Where().All()
		require.NoError(t, err)
		for _, r := range rs {
			text := *(*string)(at(r.v, role.off))
			require.Equal(t, unsafe.StringData(role.listed(text)), unsafe.StringData(text), r.Key())
		}
		require.Eventually(t, func() bool { runtime.GC(); return request.Value() == nil }, time.Minute, time.Millisecond)
	}
	write(func(cut func(string) string) {
		_, err := h.Insert(ctx, listed{ID: "a", Role: cut("user"), Name: "n"})
		require.NoError(t, err)
	})
	write(func(cut func(string) string) {
		_, err := h.Dynamic().Insert(ctx, Fields{"id": "b", "role": cut("admin"), "name": "n"})
		require.NoError(t, err)
	})
	write(func(cut func(string) string) {
		_, err := h.Patch(ctx, "a", Fields{"role": cut("admin")})
		require.NoError(t, err)
	})
	write(func(cut func(string) string) {
		_, err := h.Update(ctx, "a", func(u *listed) error { u.Role = cut("user"); return nil })
		require.NoError(t, err)
	})
	write(func(cut func(string) string) {
		_, err := h.Update(ctx, "a", func(u *listed) error { u.Name = cut("n"); return nil })
		require.NoError(t, err)
	})
	write(func(cut func(string) string) {
		var ve *ValidationError
		_, err := h.Update(ctx, "a", func(u *listed) error { u.Role = cut("nobody"); return nil })
		require.ErrorAs(t, err, &ve)
	})
}
