package main

// quotedName is the column of kelindar/column, which the module proxy does not
// have. Its figures are quoted from an earlier run on a 2-core AMD EPYC virtual
// machine in November 2026, and take no part in the ratios.
const quotedName = "column (quoted)"

const quotedNote = `column: kelindar/column, not measured but quoted from a run of November 2026; no part of the ratios. It then showed
uncommitted rows of other transactions and had no unique check and no ordered range, which no test here shows.`

// quoted are its figures by the name of a row, at 10,000 and at 1,000,000 records.
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
	"bulk 1,000, 4 idx, per record":        {10_000: 490, 1_000_000: 961},
	"update 1 (unindexed field), 4 idx":    {10_000: 1920, 1_000_000: 4157},
	"update 1 (two indexed fields), 4 idx": {10_000: 1704, 1_000_000: 4045},
	"delete 1, 4 idx":                      {10_000: 570, 1_000_000: 5971},
	"bytes per record, key only":           {1_000_000: 238},
	"insert 1, key only":                   {10_000: 1881, 1_000_000: 6503},
}
