package store

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

type smokeUser struct {
	ID    string  `store:"id,key,generated=uuid"`
	Name  string  `store:"name,required,minLength=1,maxLength=200"`
	Email string  `store:"email,format=email,unique"`
	Role  string  `store:"role,enum=admin|user|guest,default=user,index"`
	Age   int     `store:"age,min=0,index"`
	Value float64 `store:"value"`
	Meta
}

func TestSmoke(t *testing.T) {
	ctx := context.Background()
	s, err := Open(ctx, Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close(ctx)) }()
	users, err := Define[smokeUser](ctx, s, "users")
	require.NoError(t, err)
	got := make(chan string, 10)
	stop, err := s.On("bucket.users.*", func(e Event) { got <- e.Topic() + " " + fmt.Sprint(e.New.Get("name")) })
	require.NoError(t, err)
	defer stop()
	a, err := users.Insert(ctx, smokeUser{Name: "Alice", Email: "a@example.com", Age: 30})
	require.NoError(t, err)
	require.Equal(t, "user", a.Role)
	require.Equal(t, Version(1), a.Version)
	require.Equal(t, "bucket.users.inserted Alice", <-got)
	b, ok := users.Get(a.ID)
	require.True(t, ok)
	require.Equal(t, a, b)
	_, err = users.Insert(ctx, smokeUser{Name: "Bob", Email: "a@example.com"})
	require.ErrorContains(t, err, "unique")
	_, err = users.Insert(ctx, smokeUser{Email: "nope", Age: -1, Role: "x"})
	fmt.Println(err)
	a, err = users.Update(ctx, a.ID, func(u *smokeUser) error { u.Role = "admin"; return nil })
	require.NoError(t, err)
	require.Equal(t, Version(2), a.Version)
	dyn, err := s.Bucket("users")
	require.NoError(t, err)
	r, ok, err := dyn.FindOne(Eq("role", "admin"))
	require.NoError(t, err)
	require.True(t, ok)
	j, _ := json.Marshal(r)
	fmt.Println(string(j))
	n, err := users.Where(Eq("role", "admin")).Count()
	require.NoError(t, err)
	require.Equal(t, 1, n)
	_, err = users.Where(Eq("nope", "admin")).Count()
	fmt.Println(err)
	_, err = dyn.Insert(ctx, Fields{"name": "C", "email": 3, "x": 1})
	fmt.Println(err)
	key := a.ID + ""
	require.Zero(t, testing.AllocsPerRun(100, func() { users.Get(key) }))
	fmt.Printf("%+v\n", s.Stats())
	n, err = users.DeleteMany(ctx, Eq("role", "admin"))
	require.NoError(t, err)
	require.Equal(t, 1, n)
}
