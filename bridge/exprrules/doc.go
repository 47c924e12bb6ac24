// Package exprrules is a rule engine at the other end of a bridge: rules that watch
// the events of a store, test them with an expression, and write to the store, or
// call Go.
//
//	engine, err := exprrules.New(s, exprrules.Options{Actions: map[string]exprrules.Action{"mail": mail}})
//	err = engine.LoadFile("rules.yaml")
//	b, err := bridge.Forward(s, engine, bridge.Options{OnError: report})
//
// with rules.yaml
//
//	rules:
//	  - name: reorder
//	    when: bucket.products.updated
//	    if: |
//	      new.stock < new.minimum and not exists("orders", {product: new.id, open: true})
//	    then:
//	      - insert: orders
//	        set: {product: new.id, amount: new.minimum * 2 - new.stock, open: true}
//	      - do: mail
//	        with: {text: '"low on " + new.name'}
//
// README.md describes the language. Expressions are those of
// github.com/expr-lang/expr, checked against the definitions of the buckets when the
// rules are loaded.
//
// # Guarantees
//
//  1. A rule set is loaded whole or not at all: everything that is wrong with it comes
//     back at once, as a [*LoadError], and the rules before it stay. An event is
//     judged by one rule set.
//  2. Rules judge one event at a time, in the order of commits; the rules of one event
//     in their own order.
//  3. A rule that fires does so in one transaction: lookups in its condition, which is
//     judged there once more if it has any, the expressions and the writes of its
//     steps. It is run again when it is in conflict; it takes effect whole, or not at
//     all.
//  4. Every commit of a rule is known by its sequence ([store.Tx.Committed]), so that
//     an event of it has the chain of rules that led to it. A chain that has grown to
//     [Options.MaxDepth] ends with a [*DepthError] in place of one more rule.
//  5. What goes wrong in a rule (an error, a panic, a bucket that is gone) ends this
//     firing, and is told; the other rules judge the event all the same.
//
// # Cost
//
// Rules are found by bucket and type of event: an event that none of them is about
// costs a look into a map. A condition without lookups is judged on the fields that
// it names, without a transaction.
package exprrules
