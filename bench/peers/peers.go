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
	{Name: "buntdb", KeyOnly: buntdbKeyOnly, Indexed: buntdbIndexed, Lacks: "dhw"},
	{Name: "sqlite", KeyOnly: sqliteMemoryKeyOnly, Indexed: sqliteMemoryIndexed, Lacks: "w"},
	{Name: Floor, KeyOnly: floorKeyOnly, Indexed: floorIndexed, Lacks: "dnw"},
	{Name: Ours, KeyOnly: oursKeyOnly, Indexed: oursIndexed, Durable: oursDurable},
	{Name: "bbolt", KeyOnly: bboltSync, OnDisk: true},
	{Name: "bbolt-nosync", KeyOnly: bboltNoSync, OnDisk: true, Lacks: "s"},
	{Name: "sqlite-wal", KeyOnly: sqliteDiskKeyOnly, Indexed: sqliteDiskIndexed, OnDisk: true},
}

// Footnote is a guarantee that some peers do not give.
type Footnote struct{ Letter, Text string }

// Footnotes are all of them. guarantees_test.go shows each but "s", which only
// shows when the power fails.
var Footnotes = []Footnote{
	{"d", "stores two records with the same email: its unique index does not refuse the second, or it has none"},
	{"h", "commits what a transaction did before it panicked"},
	{"n", "has no transactions: what fails in the middle stays half done"},
	{"s", "acknowledges a write that it has not synced to the disk (its option NoSync)"},
	{"w", "lets a read wait until the writer is done"},
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
