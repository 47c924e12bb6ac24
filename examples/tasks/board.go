package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/noex-go/store"
)

// Member is somebody who can be assigned cards.
type Member struct {
	Handle string `store:"handle,key,minLength=2,maxLength=20"`
	Email  string `store:"email,required,format=email,unique"`
}

// Limit is how many cards a column may hold, its WIP limit.
type Limit struct {
	Column string `store:"column,key,enum=todo|doing|review|done"`
	Cards  int    `store:"cards,min=1"`
}

// Card is a task on the board.
type Card struct {
	ID       int    `store:"id,key,generated=autoincrement"`
	Title    string `store:"title,required,maxLength=40,unique"`
	Assignee string `store:"assignee,required,index,ref=members"`
	Priority string `store:"priority,enum=low|normal|high,default=normal"`
	Column   string `store:"column,enum=todo|doing|review|done,default=todo,index=place"`
	Position int    `store:"position,min=0,index=place"` // from the top of its column
}

// columns are those of the enum, as they stand on the board.
var columns = []string{"todo", "doing", "review", "done"}

// Board is the cards in their columns. What always holds: the positions of a
// column's n cards are 0 to n-1, and n is within the column's limit. The store
// knows single records; these two rules are about several, so each change that
// could break them is a transaction. Transactions are serializable: of two that
// take the last place of a column, one runs again and finds it full.
type Board struct {
	s       *store.Store
	members *store.TypedBucket[Member]
	limits  *store.TypedBucket[Limit]
	cards   *store.TypedBucket[Card]
	work    *store.ReactiveQuery[Assigned, []Card]
}

// Assigned is the parameter of the live query: whose cards.
type Assigned struct{ To string }

// FullError is a move into a column that is at its limit.
type FullError struct {
	Column string
	Limit  int
}

func (e *FullError) Error() string {
	return fmt.Sprintf("column %s is full (%d)", e.Column, e.Limit)
}

// errNoMember is an assignment to nobody that the board knows.
var errNoMember = errors.New("no such member")

// again is how often a transaction that was in conflict is run anew.
const again = 50

// NewBoard defines the board's buckets and its query in an empty store.
func NewBoard(ctx context.Context, s *store.Store) (*Board, error) {
	b := &Board{s: s}
	var errs [4]error
	b.members, errs[0] = store.Define[Member](ctx, s, "members")
	b.limits, errs[1] = store.Define[Limit](ctx, s, "limits")
	b.cards, errs[2] = store.Define[Card](ctx, s, "cards")
	// The store notes what the function reads: with the assignee fixed by equality,
	// a change of anybody else's cards does not call it.
	b.work, errs[3] = store.DefineQuery(s, "work", func(q *store.QueryCtx, p Assigned) ([]Card, error) {
		return b.cards.In(q).Where(store.Eq("assignee", p.To), store.Ne("column", "done")).
			OrderBy(store.Asc("column"), store.Asc("position")).All()
	})
	return b, errors.Join(errs[:]...)
}

// Add puts a card at the end of the column todo.
func (b *Board) Add(ctx context.Context, c Card) (Card, error) {
	return store.InTransaction(ctx, b.s, func(tx *store.Tx) (Card, error) {
		if _, ok := b.members.In(tx).Get(c.Assignee); !ok {
			return Card{}, fmt.Errorf("%s: %w", c.Assignee, errNoMember)
		}
		n, err := b.admit(tx, "todo")
		if err != nil {
			return Card{}, err
		}
		c.Column, c.Position = "todo", n
		return b.cards.In(tx).Insert(ctx, c)
	}, store.Retry(again))
}

// Move puts a card at a position of a column, at its end if that is beyond; the
// cards below move down, and those below its old place up.
func (b *Board) Move(ctx context.Context, id int, column string, at int) error {
	return b.s.Transaction(ctx, func(tx *store.Tx) error {
		cards := b.cards.In(tx)
		card, ok := cards.Get(id)
		if !ok {
			return fmt.Errorf("card %d: %w", id, store.ErrNotFound)
		}
		last := 0 // where the card can go at most
		if card.Column == column {
			n, err := cards.Count(store.Eq("column", column))
			if err != nil {
				return err
			}
			last = n - 1
		} else {
			n, err := b.admit(tx, column)
			if err != nil {
				return err
			}
			last = n
		}
		at := min(max(at, 0), last)
		if err := b.shift(ctx, tx, card.Column, card.Position+1, -1); err != nil {
			return err
		}
		if err := b.shift(ctx, tx, column, at, +1); err != nil {
			return err
		}
		_, err := cards.Update(ctx, id, func(c *Card) error {
			c.Column, c.Position = column, at
			return nil
		})
		return err
	}, store.Retry(again))
}

// Assign gives a card to somebody else.
func (b *Board) Assign(ctx context.Context, id int, to string) error {
	return b.s.Transaction(ctx, func(tx *store.Tx) error {
		if _, ok := b.members.In(tx).Get(to); !ok {
			return fmt.Errorf("%s: %w", to, errNoMember)
		}
		_, err := b.cards.In(tx).Patch(ctx, id, store.Fields{"assignee": to})
		return err
	}, store.Retry(again))
}

// Remove takes a card off the board.
func (b *Board) Remove(ctx context.Context, id int) error {
	return b.s.Transaction(ctx, func(tx *store.Tx) error {
		card, ok := b.cards.In(tx).Get(id)
		if !ok {
			return fmt.Errorf("card %d: %w", id, store.ErrNotFound)
		}
		if err := b.cards.In(tx).Delete(ctx, id); err != nil {
			return err
		}
		return b.shift(ctx, tx, card.Column, card.Position+1, -1)
	}, store.Retry(again))
}

// SetLimit bounds a column, which must be within that bound already.
func (b *Board) SetLimit(ctx context.Context, column string, limit int) error {
	return b.s.Transaction(ctx, func(tx *store.Tx) error {
		n, err := b.cards.In(tx).Count(store.Eq("column", column))
		if err != nil {
			return err
		}
		if n > limit {
			return fmt.Errorf("%d cards: %w", n, &FullError{column, limit})
		}
		_, err = b.limits.In(tx).Upsert(ctx, Limit{column, limit})
		return err
	}, store.Retry(again))
}

// Columns returns the cards of every column from the top, all at one commit.
func (b *Board) Columns() (map[string][]Card, error) {
	snap := b.s.Snapshot()
	defer snap.Close()
	board := map[string][]Card{}
	for card, err := range b.cards.In(snap).OrderBy(store.Asc("column"), store.Asc("position")).Seq() {
		if err != nil {
			return nil, err
		}
		board[card.Column] = append(board[card.Column], card)
	}
	return board, nil
}

// admit returns how many cards a column has, if it may have one more. A column
// that does not exist has no limit here: the enum of the card refuses it, in
// words that list the columns there are.
func (b *Board) admit(tx *store.Tx, column string) (int, error) {
	n, err := b.cards.In(tx).Count(store.Eq("column", column))
	if err != nil {
		return 0, err
	}
	if limit, ok := b.limits.In(tx).Get(column); ok && n >= limit.Cards {
		return 0, &FullError{column, limit.Cards}
	}
	return n, nil
}

// shift moves the cards of a column from a position on up or down by one. The
// loop reads the state of its beginning: what it writes does not come again.
func (b *Board) shift(ctx context.Context, tx *store.Tx, column string, from, by int) error {
	cards := b.cards.In(tx)
	for card, err := range cards.Where(store.Eq("column", column), store.Gte("position", from)).Seq() {
		if err != nil {
			return err
		}
		_, err := cards.Update(ctx, card.ID, func(c *Card) error {
			c.Position += by
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
