package peers

import "strings"

// Peer is an engine, and how to open it.
type Peer struct {
	Name string
	// KeyOnly opens it with no index but the key, Indexed with all four; nil is
	// what it does not have. dir is a directory of its own.
	KeyOnly func(dir string) (Engine, error)
	Indexed func(dir string) (Engine, error)
	// Durable opens it for the lines about durable writes, where it takes part in
	// the others too.
	Durable func(dir string) (Engine, error)
	// OnDisk peers take part in the lines about durable writes only.
	OnDisk bool
	// Lacks are letters of the Footnotes.
	Lacks string
}

// Floor and Ours are the names of the columns that the others are compared with.
const (
	Floor = "floor"
	Ours  = "ours"
)

// Peers are all engines, in the order of the columns.
var Peers = []Peer{
	{Name: "statedb", KeyOnly: statedbKeyOnly, Indexed: statedbIndexed, Lacks: "d"},
	{Name: "go-memdb", KeyOnly: memdbKeyOnly, Indexed: memdbIndexed, Lacks: "d"},
	{Name: "buntdb", KeyOnly: buntdbKeyOnly, Indexed: buntdbIndexed, Lacks: "dhrw"},
	{Name: "sqlite", KeyOnly: sqliteMemoryKeyOnly, Indexed: sqliteMemoryIndexed, Lacks: "rw"},
	{Name: Floor, KeyOnly: floorKeyOnly, Indexed: floorIndexed, Lacks: "dnorw"},
	{Name: Ours, KeyOnly: oursKeyOnly, Indexed: oursIndexed, Durable: oursDurable},
	{Name: "bbolt", KeyOnly: bboltSync, OnDisk: true},
	{Name: "bbolt-nosync", KeyOnly: bboltNoSync, OnDisk: true, Lacks: "s"},
	{Name: "sqlite-wal", KeyOnly: sqliteDiskKeyOnly, Indexed: sqliteDiskIndexed, OnDisk: true},
}

// Footnote is a guarantee that some peers do not give, and the test that shows it.
type Footnote struct{ Letter, Text, Test string }

// Footnotes are all of them.
var Footnotes = []Footnote{
	{"d", "stores two records with the same email: its unique index does not refuse the second, or it has none", "TestDuplicates"},
	{"h", "commits what a transaction did before it panicked", "TestPanicInTransaction"},
	{"n", "has no transactions: what fails in the middle stays half done", "TestHalfDone"},
	{"o", "reads the records of a role in an order that deletes change", "TestOrderStays"},
	{"r", "lets a write wait until a reader is done", "TestWriteDuringRead"},
	{"s", "acknowledges a write that it has not synced to the disk (its option NoSync)", "TestAcknowledgedIsOnDisk"},
	{"w", "lets a read wait until the writer is done", "TestReadDuringWrite"},
}

// Missing returns those letters of needs that the peer lacks.
func (p *Peer) Missing(needs string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(needs, r) {
			return r
		}
		return -1
	}, p.Lacks)
}
