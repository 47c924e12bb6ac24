// Package store is an embeddable in-memory store: named buckets of records with
// a schema, unique, secondary and compound indexes, atomic writes, queries over
// paths chosen by what the indexes count, transactions over buckets, live queries,
// snapshots and change events.
//
//	s, err := store.Open(ctx, store.Options{})
//	defer s.Close(ctx)
//	users, err := store.Define[User](ctx, s, "users")          // schema from struct tags
//	alice, err := users.Insert(ctx, User{Name: "Alice"})
//	alice, ok := users.Get(alice.ID)                           // never waits for a writer
//	admins, err := users.Where(store.Eq("role", "admin")).OrderBy(store.Desc("age")).Limit(10).All()
//
// [Store.DefineBucket] makes a bucket whose schema is known at run time only;
// every bucket can be read and written both ways, see [Typed] and [Store.Bucket].
//
// # Guarantees
//
// Each is held by the tests named after it.
//
//  1. Atomic. A write, of one record or of many, is one commit: readers and
//     handlers see all of it or nothing, its index entries included. A write that
//     fails, for whatever reason, leaves nothing behind; an autoincrement number
//     that it had drawn is not used again. (TestModel, TestInsertManyAtomicToReaders,
//     TestFailedWritesLeaveNothing, TestAutoincrementNeverReuses, TestGroupModel)
//  2. Consistent reads. Each read sees one committed state from beginning to end:
//     a query, an iterator, and through [Store.Snapshot] any number of reads over
//     all buckets. What it has returned never changes. (TestModel,
//     TestSnapshotSeesAllBucketsAtOneCommit, TestSnapshotsOverlap,
//     TestIteratorIsStable; internal/table: TestReadersBesideWriter)
//  3. Transactions are strictly serializable, what their queries did not find
//     included, unless [SnapshotIsolation] was asked for; they become visible in all
//     buckets at once, and one that fails leaves nothing. (TestIsolationLists,
//     TestIsolationPredicates, TestIsolationBank, TestTransactionModel)
//     Single reads are linearizable: a read that begins after a write was
//     acknowledged sees it, and no read sees less than one that ended before it
//     began. (TestLinearizableKey, TestKeyThatComesAndGoes, TestNoLostUpdate)
//     Whichever path a query takes through indexes, its answer is that of a scan:
//     the records, their order, pages, aggregates, groups. (TestQueryModel,
//     TestQueriesBesideWriter, TestQueryTouches)
//  4. Events. A handler gets the events of the commits that match its pattern in
//     commit order, each once, never before the commit is visible, and those of
//     one commit one after the other. (TestModel, TestEventOrder,
//     TestClearIsOneCommit; internal/feed: TestOrderAndExactlyOnce)
//  5. Live results. What a subscriber of a [ReactiveQuery] gets equals the query
//     run from scratch at the commit that it carries; the commits never fall; some
//     may be skipped, the last one never is. What a query has not read does not wake it.
//     (TestLiveModel, TestLiveTransfers, TestLiveModelFindsPlantedBugs,
//     TestLiveReadsNothingElse, TestSeams)
//  6. Bounded memory. A record has at most one version more than distinct commits
//     are held by snapshots and running queries, however long they are held. A
//     handler that is too slow is told [ErrLagged] with the number of commits that
//     it missed; it never delays a writer, and never loses an event unsaid.
//     (TestSnapshotHeldForLong, TestLagged, TestLaggedMemory; internal/table:
//     TestHeldSnapshotIsBounded; internal/feed: TestMissedIsExact)
//     A subscriber of a live query holds one result, the newest.
//  7. User code is contained. Default functions, validators, update functions, query
//     functions, handlers and callbacks run neither under a lock nor in a bucket's server: one
//     that blocks delays its own call or subscription only. The panic of a default
//     function, a validator or an update function comes back as a [*PanicError] of that call, which changes
//     nothing; that of a query function is the outcome of that query, until what it
//     has read changes; that of a handler or a callback is reported, as is its end
//     of the goroutine, and it is called for the next event.
//     A defect of the store itself that panics in a write takes that write back and
//     becomes its error; a server that dies is replaced. (TestUserPanics,
//     TestDefaultFunctionsThatFail, TestValidators, TestPanickingHandler,
//     TestHandlerEndsItsGoroutine, TestPanicInline, TestPanicInGroup, TestServerDies)
//  8. Values are safe. Nothing that a caller passes in or gets out shares memory
//     that can change with the store: records are immutable, all else is
//     copied. Only the result of a live query is shared, by its subscribers: what
//     the query function has returned. (TestDynamicAliasing, TestTypedAliasing, TestAliasingBesideReaders,
//     TestDefinitionIsCopied)
//  9. Durability, with [Options.Persistence]. What survives is a prefix of the
//     commit order, whole commits over all buckets. [Sync]: a nil error means that the
//     commit is on the disk. [Interval]: a crash of the process loses nothing
//     acknowledged, a power loss about the last interval at most; [OS]: as much as the
//     system had not written. A log that fails leaves the store readable and
//     read-only, and is never retried. Damage is reported, with file and offset, and
//     never taken for an empty store. (TestLogModel, TestLogFailures; persist/file:
//     TestCrash, TestFaults, TestBitFlips, TestKilled)
//  10. Goroutines. [Store] lists every one; [Store.Close] is idempotent and waits for
//     all of them. (TestCloseDuringEverything, TestCloseWithStuckHandler,
//     TestListenerEnds, TestNoGoroutineLeak)
//
// # Reading order
//
// ARCHITECTURE.md has the picture. Then, from the outside in:
//
//   - store.go, bucket.go, typedbucket.go, record.go, errors.go: what users see
//   - schema.go, prepare.go, fill.go: what a record must be, and how it becomes one
//   - write.go, server.go, commit.go: how a write happens
//   - rules.go, nested.go, nestedgo.go, validate.go: the rules that it is held to
//   - ttl.go, evict.go: what the store itself deletes; change.go, alter.go,
//     carry.go, home.go: how a bucket becomes another
//   - filter.go, query.go, page.go, aggregate.go, group.go: what can be asked
//   - compile.go, condition.go, plan.go, pick.go, exec.go, sorter.go: how it is
//     answered
//   - txn.go, txwrite.go, own.go, readset.go, txcommit.go, recent.go: transactions
//   - persistence.go, logwriter.go, logencode.go, logopen.go, logload.go, logwake.go,
//     logcompact.go, backup.go: the log, and what comes back from it
//   - snapshot.go, events.go: what was, and what happens
//   - reactivequery.go, queryctx.go, reactor.go, livenode.go, liveevaluate.go, liveworker.go,
//     watch.go, subscription.go: live queries; livelist.go, livedelta.go, livestate.go,
//     listkeep.go: live lists
//   - shape.go, layout.go, codec.go, indexplan.go: how a record lies in memory
//   - tags.go, gotype.go, value.go, convert.go: what comes in from Go
//   - internal/table: rows, version chains and indexes, from table.go on
//   - internal/keyenc, internal/exactsum, internal/feed: index keys; sums; the
//     queue to the handlers
//   - persist/file, persist/sqlite, persist/memory: logs; internal/logentry: what is
//     in them; internal/vfs: the file system below
package store
