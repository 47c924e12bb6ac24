package main

// Figures that were not measured in the run but are quoted, unscaled, from runs of November 2026
// on a 2-core AMD EPYC virtual machine: of kelindar/column, which the module proxy does not have, and
// of the npm original, which cannot be installed as long as the registry lacks a package that it needs.
// A figure of another hour is no fair measure: column takes no part in the ratios, and those beside the
// original are marked.

const (
	quotedName = "column (quoted)"
	quotedNote = `column: kelindar/column, not measured here but quoted from a run of November 2026 on a 2-core AMD EPYC virtual machine; no part
of the ratios. It then showed uncommitted rows of other transactions, left ghosts after a rollback, and had no unique check and no
ordered range; no test here shows that.`
	npmQuotedNote = `npm: the original, not measured here but quoted, unscaled, from its own benchmark on Node 20 in November 2026, on a 2-core AMD EPYC
virtual machine; ` + quotedMark + ` marks the ratios beside it.`
	quotedMark = "q"
)

// quoted are the figures of column by the name of a row, at 10,000 and at 1,000,000 records.
var quoted = map[string]map[int]float64{
	"get by key":                           {10_000: 394, 1_000_000: 1345},
	"get, 2 goroutines":                    {10_000: 318, 1_000_000: 854},
	"iterate a third by index, per record": {10_000: 8.9, 1_000_000: 11.7},
	"first 10 of it":                       {10_000: 19_500},
	"range on age, first 100 in order":     {10_000: 40_350},
	"count by index":                       {10_000: 255, 1_000_000: 10_700},
	"bytes per record, 4 idx":              {1_000_000: 239}, // with two indexes fewer
	"get beside a writer, p50":             {10_000: 1622},
	"get beside a writer, p99":             {10_000: 16_500},
	"insert 1, 4 idx":                      {10_000: 1324, 1_000_000: 8126},
	"bytes of an insert, 4 idx":            {10_000: 96},
	"allocations of an insert, 4 idx":      {10_000: 3},
	"bulk 1,000, 4 idx, per record":        {10_000: 490, 1_000_000: 961},
	"update 1 (unindexed field), 4 idx":    {10_000: 1920, 1_000_000: 4157},
	"update 1 (two indexed fields), 4 idx": {10_000: 1704, 1_000_000: 4045},
	"delete 1, 4 idx":                      {10_000: 570, 1_000_000: 5971},
	"bytes per record, key only":           {1_000_000: 238},
	"insert 1, key only":                   {10_000: 1881, 1_000_000: 6503},
}

// quotedOriginal are those of the original, in µs.
var quotedOriginal = []originalLine{
	{"crud/insert", 15.7},
	{"crud/get", 3.4},
	{"crud/update", 7.8},
	{"crud/delete", 4.1},
	{"queries/where-indexed", 28.9},
	{"queries/findone-indexed", 5.3},
	{"queries/count-indexed", 18.0},
	{"queries/where-unindexed", 112},
	{"queries/findone-unindexed", 3.4},
	{"queries/count-unindexed", 136},
	{"queries/all", 5.6},
	{"queries/first-10", 7.0},
	{"queries/last-10", 4.9},
	{"queries/count", 1.02},
	{"queries/sum", 24.3},
	{"queries/avg", 25.5},
	{"queries/min", 22.2},
	{"queries/max", 25.0},
	{"reactive/insert-to-subscriber-p50", 23.7},
	{"reactive/insert-to-subscriber-p95", 69.4},
	{"reactive/insert-to-subscriber-p99", 140},
	{"reactive/insert-and-settle-0", 16.2},
	{"reactive/insert-and-settle-1", 60.1},
	{"reactive/insert-and-settle-10", 123},
}
