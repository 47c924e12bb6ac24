package exprrules_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
	"github.com/noex-go/store/bridge/exprrules"
)

var nothing = exprrules.Action(func(context.Context, *exprrules.Firing) error { return nil })

// problems loads a file and returns what is wrong with it: place, rule, part.
func problems(t *testing.T, s *store.Store, text string) (list []string) {
	t.Helper()
	e, err := exprrules.New(s, exprrules.Options{Actions: map[string]exprrules.Action{"tell": nothing}})
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "rules")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	err = e.LoadFile(path)
	require.Empty(t, e.Rules())
	var le *exprrules.LoadError
	require.ErrorAs(t, err, &le)
	require.Equal(t, path, le.File)
	require.EqualValues(t, 1, e.Stats().Refused)
	require.Zero(t, e.Stats().Loads)
	for _, p := range le.Problems {
		require.NotEmpty(t, p.Message)
		list = append(list, fmt.Sprintf("%d:%d %s|%s", p.Line, p.Column, p.Rule, p.Part))
	}
	return list
}

// TestProblems: everything that is wrong comes at once, each where it stands.
func TestProblems(t *testing.T) {
	s := newShop(t)
	head := "rules:\n- name: r\n  when: bucket.products.updated\n"
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"not a list":               {"rules: 3", []string{"1:8 |rules"}},
		"a list alone":             {"- a", []string{"1:1 |"}},
		"no rules":                 {"other: 1\nrule: 2", []string{"1:1 |", "2:1 |"}},
		"an empty object":          {"{}", []string{"1:1 |"}},
		"a scalar":                 {"hello", []string{"1:1 |"}},
		"twice":                    {"rules: []\nrules: []", []string{"2:1 |"}},
		"syntax":                   {"rules:\n- name: [", []string{"2:1 |"}},
		"a tab":                    {"rules:\n\t- name: a", []string{"2:1 |"}},
		"a second document":        {"rules: []\n---\nrules: []\n", []string{"2:1 |"}},
		"an anchor":                {"rules: &a []", []string{"1:1 |"}},
		"an alias":                 {head + "  then:\n  - {do: tell, with: &x {a: 1}}\n  - {do: tell, with: *x}", []string{"5:16 r|then[0]", "6:16 r|then[1]"}},
		"a merge":                  {head + "  then: [{do: tell}]\n  <<: {}", []string{"5:3 r|"}},
		"unknown names":            {head + "  iff: x\n  then: [{doo: tell}]", []string{"4:3 r|", "5:11 r|then[0]"}},
		"a rule of text":           {"rules: [a, b]", []string{"1:9 rule 1|", "1:12 rule 2|"}},
		"names of other kinds":     {"rules:\n- name: {a: 1}\n  when: ~", []string{"2:9 rule 1|name", "3:9 rule 1|when"}},
		"no steps":                 {head, []string{"2:3 r|then"}},
		"an empty condition":       {head + "  if: ''\n  then: [{do: tell}]", []string{"4:7 r|if"}},
		"steps of text":            {head + "  then: do", []string{"4:9 r|then"}},
		"a step of text":           {head + "  then: [do]", []string{"4:10 r|then[0]"}},
		"a list to set":            {head + "  then: [{insert: log, set: [1]}]", []string{"4:29 r|then[0].set"}},
		"no pattern":               {"rules: [{name: r, then: [{do: tell}]}]", []string{"1:9 r|when"}},
		"a bad pattern":            {"rules: [{name: r, when: products, then: [{do: tell}]}]", []string{"1:25 r|when"}},
		"a bad event":              {"rules: [{name: r, when: bucket.products.born, then: [{do: tell}]}]", []string{"1:25 r|when"}},
		"no bucket":                {"rules: [{name: r, when: bucket.none.inserted, then: [{do: tell}]}]", []string{"1:25 r|when"}},
		"duplicate names":          {"rules:\n- {name: r, when: bucket.log.*, then: [{do: tell}]}\n- {name: r, when: bucket.log.*, then: [{do: tell}]}", []string{"3:10 r|name"}},
		"no name":                  {"rules:\n- {when: bucket.log.*, then: [{do: tell}]}", []string{"2:3 rule 1|"}},
		"two rules":                {head + "  if: nope\n  then: [{do: tell}]\n- name: q\n  when: bucket.log.*\n  if: nope\n  then: [{do: tell}]", []string{"4:7 r|if", "8:7 q|if"}},
		"an unknown field":         {head + "  if: new.stock > 1 and new.nope\n  then: [{do: tell}]", []string{"4:29 r|if"}},
		"in quotes":                {head + "  if: 'new.stock > 1 and new.nope'\n  then: [{do: tell}]", []string{"4:30 r|if"}},
		"in a block":               {head + "  if: |\n\n     new.stock > 1\n       and new.nope\n  then: [{do: tell}]", []string{"7:16 r|if"}},
		"folded":                   {head + "  if: >\n   new.stock > 1\n   and new.nope\n  then: [{do: tell}]", []string{"4:7 r|if"}},
		"with escapes":             {head + "  if: \"new.name == \\\"x\\\" and new.nope\"\n  then: [{do: tell}]", []string{"4:7 r|if"}},
		"behind a wide letter":     {head + "  if: new.name == \"ščř\" and new.nope\n  then: [{do: tell}]", []string{"4:33 r|if"}},
		"types":                    {head + "  if: new.stock == new.name\n  then: [{do: tell}]", []string{"4:17 r|if"}},
		"not a condition":          {head + "  if: new.stock\n  then: [{do: tell}]", []string{"4:7 r|if"}},
		"nil as a condition":       {head + "  if: nil\n  then: [{do: tell}]", []string{"4:7 r|if"}},
		"no such variable":         {head + "  if: $env.new != nil\n  then: [{do: tell}]", []string{"4:7 r|if"}},
		"a field of the event":     {head + "  if: event.nope == 1\n  then: [{do: tell}]", []string{"4:13 r|if"}},
		"old of an insert":         {"rules: [{name: r, when: bucket.products.inserted, if: old.id == new.id, then: [{do: tell}]}]", []string{"1:59 r|if"}},
		"an unknown action":        {head + "  then: [{do: shout}]", []string{"4:15 r|then[0].do"}},
		"an action that sets":      {head + "  then: [{do: tell, set: {a: 1}}]", []string{"4:10 r|then[0]"}},
		"nothing to do":            {head + "  then: [{with: {a: 1}}]", []string{"4:10 r|then[0]"}},
		"two things to do":         {head + "  then: [{insert: log, do: tell, set: {text: id}}]", []string{"4:10 r|then[0]"}},
		"a write with arguments":   {head + "  then: [{insert: log, set: {text: 'new.id'}, with: {a: 1}}]", []string{"4:53 r|then[0].with"}},
		"nothing to set":           {head + "  then: [{insert: log}, {update: log, key: 1}, {upsert: totals, set: {}}]", []string{"4:10 r|then[0]", "4:25 r|then[1]", "4:48 r|then[2]", "4:70 r|then[2].set"}},
		"a delete that sets":       {head + "  then: [{delete: log, key: 1, set: {text: 'new.id'}}]", []string{"4:37 r|then[0].set"}},
		"no key":                   {head + "  then: [{delete: log}, {update: log, key: 1, where: {n: 1}, set: {text: new.id}}]", []string{"4:10 r|then[0]", "4:25 r|then[1]"}},
		"a null key":               {head + "  then: [{delete: log, key: ~}]", []string{"4:29 r|then[0].key"}},
		"a key of an insert":       {head + "  then: [{insert: log, key: 1, set: {text: new.id}}]", []string{"4:10 r|then[0]"}},
		"a key of another type":    {head + "  then: [{delete: log, key: new.id}]", []string{"4:29 r|then[0].key"}},
		"an unknown bucket":        {head + "  then: [{insert: none, set: {a: 1}}]", []string{"4:19 r|then[0].insert"}},
		"a field that is not":      {head + "  then: [{upsert: totals, set: {product: new.id, nope: 1}}]", []string{"4:56 r|then[0].set.nope"}},
		"an extra field":           {head + "  then: [{insert: log, set: {anything: new.id}}, {do: nope}]", []string{"4:55 r|then[1].do"}},
		"a field's type":           {head + "  then: [{upsert: totals, set: {product: new.id, amount: new.name}}]", []string{"4:58 r|then[0].set.amount"}},
		"a literal's type":         {head + "  then: [{update: products, key: new.id, set: {name: 1, stock: true, since: 2026-01-02, more: [], tags: {}}}]", []string{"4:95 r|then[0].set.more", "4:54 r|then[0].set.name", "4:64 r|then[0].set.stock", "4:105 r|then[0].set.tags"}},
		"required, null":           {head + "  then: [{insert: orders, set: {product: new.id, amount: ~}}]", []string{"4:58 r|then[0].set.amount"}},
		"required, missing":        {head + "  then: [{insert: orders, set: {state: '\"open\"'}}]", []string{"4:32 r|then[0].set", "4:32 r|then[0].set"}},
		"none of the enum":         {head + "  then: [{update: orders, key: 1, set: {state: '\"lost\"'}}]", []string{"4:48 r|then[0].set.state"}},
		"the key of an update":     {head + "  then: [{update: products, key: new.id, set: {id: new.name}}]", []string{"4:52 r|then[0].set.id"}},
		"no key of an upsert":      {head + "  then: [{upsert: totals, set: {amount: 1}}]", []string{"4:32 r|then[0].set"}},
		"deep in a value":          {head + "  then: [{do: tell, with: {a: [1, {b: new.nope}]}}]", []string{"4:43 r|then[0].with.a[1].b"}},
		"a filter's field":         {head + "  then: [{delete: orders, where: {nope: new.id}}]", []string{"4:34 r|then[0].where"}},
		"a filter's value":         {head + "  then: [{delete: orders, where: {amount: {$gt: new.id}}}]", []string{"4:34 r|then[0].where"}},
		"a filter's operator":      {head + "  then: [{delete: orders, where: {amount: {$near: 1}}}]", []string{"4:34 r|then[0].where"}},
		"a lookup's bucket":        {head + "  if: count(\"none\") > 0\n  then: [{do: tell}]", []string{"4:13 r|if"}},
		"a bucket by variable":     {head + "  if: count(new.id) > 0\n  then: [{do: tell}]", []string{"4:17 r|if"}},
		"a lookup of nothing":      {head + "  if: exists()\n  then: [{do: tell}]", []string{"4:7 r|if"}},
		"a get without a key":      {head + "  if: get(\"orders\") != nil\n  then: [{do: tell}]", []string{"4:7 r|if"}},
		"a lookup's key":           {head + "  if: get(\"orders\", new.id) != nil\n  then: [{do: tell}]", []string{"4:25 r|if"}},
		"a lookup's argument":      {head + "  if: get(\"totals\", get(\"products\", new.nope).name) != nil\n  then: [{do: tell}]", []string{"4:41 r|if"}},
		"a lookup's result":        {head + "  if: get(\"totals\", new.id).nope == 1\n  then: [{do: tell}]", []string{"4:29 r|if"}},
		"a lookup in a lookup":     {head + "  if: get(\"totals\", get(\"products\", new.id).nope) != nil\n  then: [{do: tell}]", []string{"4:45 r|if"}},
		"a type that a lookup has": {head + "  if: count(\"orders\") == \"x\"\n  then: [{do: tell}]", []string{"4:23 r|if"}},
		"records in a list":        {head + "  if: any(find(\"orders\"), .nope == 1)\n  then: [{do: tell}]", []string{"4:28 r|if"}},
		"a lookup's filter":        {head + "  if: |\n    exists(\"orders\", {amount: {\"$gt\": new.id}})\n  then: [{do: tell}]", []string{"5:22 r|if"}},
		"a lookup's field":         {head + "  if: |\n    exists(\"orders\", {nope: 1})\n  then: [{do: tell}]", []string{"5:22 r|if"}},
		"a filter by variable":     {head + "  if: exists(\"orders\", new.more)\n  then: [{do: tell}]", []string{"4:28 r|if"}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, problems(t, s, c.text))
		})
	}
}

// TestTooMuch: what no rule needs is refused, and not worked on for long.
func TestTooMuch(t *testing.T) {
	s := newShop(t)
	head := "rules:\n- name: r\n  when: bucket.products.updated\n  "
	for name, text := range map[string]string{
		"brackets":      head + "if: " + strings.Repeat("(", 20000) + "\n  then: [{do: tell}]",
		"nodes":         head + "if: " + strings.Repeat("1+", 20000) + "1 > 0\n  then: [{do: tell}]",
		"nested values": head + "then: [{do: tell, with: {a: " + strings.Repeat("[", 500) + strings.Repeat("]", 500) + "}}]",
		"nested JSON":   strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000),
	} {
		t.Run(name, func(t *testing.T) { require.Len(t, problems(t, s, text), 1) })
	}
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"large":    {"rules: [] #" + strings.Repeat("x", exprrules.MaxFileBytes), exprrules.ErrTooLarge},
		"empty":    {"", exprrules.ErrEmpty},
		"blanks":   {" \n\t\n", exprrules.ErrEmpty},
		"comments": {"# nothing yet\n", exprrules.ErrEmpty},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := exprrules.Parse([]byte(c.text))
			require.ErrorIs(t, err, c.want)
			e, err := exprrules.New(s, exprrules.Options{})
			require.NoError(t, err)
			path := filepath.Join(t.TempDir(), "rules.yaml")
			require.NoError(t, os.WriteFile(path, []byte(c.text), 0o600))
			require.ErrorIs(t, e.LoadFile(path), c.want)
		})
	}
}

// TestJSON: the same rules in JSON are the same rules, tabs and escapes included, and
// problems have their places.
func TestJSON(t *testing.T) {
	s := newShop(t)
	e, b := start(t, s, exprrules.Options{})
	rules, err := exprrules.Parse([]byte("{\"rules\":\t[\n\t{\"name\": \"r\", \"when\": \"bucket.products.inserted\",\n\t\"if\": \"new.name == \\\"\\ud83d\\ude00\\/\\\"\"," +
		"\n\t\"then\": [{\"insert\": \"log\", \"set\": {\"text\": \"new.id\", \"a\": 1, \"b\": 1.5, \"c\": true, \"d\": null, \"e\": [\"new.stock\", {\"f\": -2e3}]}}]}\n]}"))
	require.NoError(t, err)
	require.NoError(t, e.Load(rules))
	insert(t, s, "products", store.Fields{"id": "p", "name": "😀/", "stock": 3})
	settle(t, s, b)
	r, ok := bucket(t, s, "log").Get(1)
	require.True(t, ok)
	m := r.Map()
	delete(m, "_createdAt")
	delete(m, "_updatedAt")
	require.Equal(t, map[string]any{"n": int64(1), "_version": int64(1), "text": "p", "a": int64(1), "b": 1.5, "c": true, "e": []any{int64(3), map[string]any{"f": -2e3}}}, m)

	require.Equal(t, []string{"4:8 r|if", "5:75 r|then[0].set.nope"}, problems(t, s,
		"{\n\t\"rules\": [{\n\t\"name\": \"r\", \"when\": \"bucket.totals.*\",\n\t\"if\": \"\\u0061 == 1\",\n\t\"then\": [{\"insert\": \"totals\", \"set\": {\"product\": \"event.bucket\", \"nope\": 1}}]\n}]}"))
}

// TestNoRules: that is a rule set too, but it has to be said.
func TestNoRules(t *testing.T) {
	for _, text := range []string{"rules: []", `{"rules": []}`} {
		rules, err := exprrules.Parse([]byte(text))
		require.NoError(t, err)
		require.Empty(t, rules)
	}
}

// TestRulesFromGo: problems have their place in the expression.
func TestRulesFromGo(t *testing.T) {
	s := newShop(t)
	e, err := exprrules.New(s, exprrules.Options{})
	require.NoError(t, err)
	err = e.Load([]exprrules.Rule{
		{Name: "a", When: "bucket.products.updated", If: "new.stock > 1\n and new.nope", Then: []exprrules.Step{{Run: nothing, Do: "x"}}},
		{},
	})
	var le *exprrules.LoadError
	require.ErrorAs(t, err, &le)
	require.Equal(t, []string{
		`2:10: rule "a": if: unknown field nope`,
		`rule "a": then[0]: must be one of insert, update, upsert, delete and do, not do and run`,
		`rule "rule 2": has no name`,
		`rule "rule 2": when: "" is no pattern of topics, as bucket.users.inserted is`,
		`rule "rule 2": then: there are no steps`,
	}, func() (list []string) {
		for _, p := range le.Problems {
			list = append(list, p.String())
		}
		return list
	}())
	require.Contains(t, err.Error(), "5 problems")
}

// TestTypesThatFit: what is no problem.
func TestTypesThatFit(t *testing.T) {
	s := newShop(t)
	ctx := t.Context()
	_, b := start(t, s, exprrules.Options{OnError: func(err error) { t.Errorf("reported: %v", err) }},
		rule("all", "bucket.orders.inserted", `event.key > 0 and new._version == 1 and new._expiresAt == nil`, exprrules.Step{Upsert: "products", Set: map[string]any{
			"id": `"p"`, "name": `new.product`, "stock": `new.amount / 2`, "price": 3, "weight": `new.amount * 1.5`, "tags": `[new.product, "x"]`,
			"since": `now()`, "sold": `new.amount > 1 ? true : false`, "raw": `"aGk="`, "more": map[string]any{"a": []any{`new.id`}}, "minimum": nil,
		}}, exprrules.Step{Update: "products", Key: `"p"`, Set: map[string]any{"since": time.Unix(5, 0), "raw": `get("products", "p").raw`, "weight": `new.id`}}))
	_, err := bucket(t, s, "orders").Insert(ctx, store.Fields{"product": "nail", "amount": 4})
	require.NoError(t, err)
	settle(t, s, b)
	p, ok := bucket(t, s, "products").Get("p")
	require.True(t, ok)
	m := p.Map()
	for _, name := range []string{"_createdAt", "_updatedAt", "_version"} {
		delete(m, name)
	}
	require.Equal(t, map[string]any{
		"id": "p", "name": "nail", "stock": int64(2), "price": 3.0, "weight": int64(1), "tags": []any{"nail", "x"},
		"since": time.Unix(5, 0).UTC(), "sold": true, "raw": []byte("hi"), "more": map[string]any{"a": []any{int64(1)}}, "minimum": int64(10),
	}, m)
}

// TestConditionsThatFit: what is no problem, also where little is known of the values.
func TestConditionsThatFit(t *testing.T) {
	s := newShop(t)
	insert(t, s, "log", store.Fields{"text": "a", "anything": 4})
	for _, cond := range []string{
		`count("log", {anything: new.more.x, n: new.more.y, text: "a"}) > 0`,
		`exists("products", {"more.a.b": new.stock, "since": {"$lt": now()}})`,
		`exists("products", {_updatedAt: {"$gt": new.more.x}, _version: 1})`,
		`exists("products", {"$or": [{stock: {"$in": new.tags}}, {stock: {"$between": new.tags}}, {"$not": {name: {"$exists": new.sold}}}]})`,
		`exists("products", {stock: {"$nin": [new.stock, 2]}, name: {"$startsWith": new.name, "$contains": new.more.t}})`,
		`exists("products", {stock: {"$not": {"$gt": new.more.x}}, price: new.stock, weight: new.price, sold: new.sold, raw: new.raw})`,
		`exists("products", {name: nil, tags: {"$contains": new.name}, more: new.more})`,
		`get("products", new.more.id) == nil and get("orders", new.stock)?.amount != 3`,
		`first("orders", {product: first("products")?.id ?? "none"})?.state in ["open", "done"]`,
		`all(find("orders"), .amount > 0 and exists("products", {id: .product}))`,
		`let n = count("orders"); n > 1 and n < 5`,
		`find("log")[0].anything == new.weight + 1`,
		`new["stock"] > 1 and new.tags[0] == "x" and "a" in new.tags and new.more?.a?.b == nil`,
		`event.key == new.id and event.seq > 0 and event.type in ["inserted", "updated"]`,
		`len(new) > 3 and (new.price ?? 0) * 2 >= new.stock and duration("1h") > now() - (new.since ?? now())`,
		`any([1, 2], # == new.stock) and (if new.sold { true } else { false })`,
	} {
		e, err := exprrules.New(s, exprrules.Options{})
		require.NoError(t, err)
		require.NoError(t, e.Load([]exprrules.Rule{rule("r", "bucket.products.updated", cond, logs(`"x"`))}), cond)
		require.NoError(t, e.Emit(t.Context(), "t", map[string]any{
			"type": "updated", "bucket": "products", "key": "p", "seq": 1, "oldRecord": map[string]any{},
			"newRecord": map[string]any{
				"id": "p", "name": "n", "stock": int64(2), "minimum": int64(1), "price": 2.5, "weight": int64(3), "tags": []any{int64(1), int64(3)},
				"since": time.Unix(5, 0), "sold": true, "raw": []byte("r"), "more": map[string]any{"x": int64(1), "y": int64(2), "t": "x", "id": "q"},
			},
		}), cond)
		require.EqualValues(t, 1, e.Stats().Evaluated)
	}
}
