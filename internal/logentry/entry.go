package logentry

import (
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"reflect"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// Format is the version of the form of entries.
const Format = 1

// MaxDepth is how deep values may nest that can be read again.
const MaxDepth = 10_000

// Entry is a commit, or a part of a snapshot.
type Entry struct {
	_       struct{} `cbor:",toarray"`
	Format  uint64
	Seq     uint64
	Session []byte // names the run of the store that made it; with Seq it names the commit
	Buckets []Bucket
	Blocks  []Block
	Reads   []Read
}

// Bucket is a definition from here on, or its end.
type Bucket struct {
	_          struct{} `cbor:",toarray"`
	ID         uint64   // of this very bucket, never used again
	Name       string
	Version    uint64 // of the definition: 1, 2, 3, ...
	Definition cbor.RawMessage
	Dropped    bool
}

// Block is what a commit made of one bucket. The columns, and what follows them, are decoded by Column and its like.
type Block struct {
	_        struct{} `cbor:",toarray"`
	Bucket   uint64
	Version  uint64
	Rows     int
	Names    []string
	Columns  []cbor.RawMessage
	Holes    map[uint64][]byte
	Created  []int64 // Unix ms
	Updated  []int64
	Versions []uint64
	Expires  []int64 // nil: none does
	Places   []uint64
	Extras   []map[string]any // nil: there are none
	Deleted  []any            // keys: string or int64
	Marks    map[string]int64
}

// Read is a record that a transaction has read by its key.
type Read struct {
	_       struct{} `cbor:",toarray"`
	Bucket  uint64
	Key     any
	Version uint64 // 0: there was none
}

// ErrFormat is what an entry is that cannot be read.
var ErrFormat = errors.New("not an entry of a store's log")

var (
	decMode cbor.DecMode
	encMode cbor.EncMode
)

func init() {
	simple, err := onlySimple()
	if err != nil {
		panic(err) // the options are constant
	}
	dec, err := cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		IndefLength:      cbor.IndefLengthForbidden,
		IntDec:           cbor.IntDecConvertSignedOrFail,
		TimeTag:          cbor.DecTagRequired,
		DefaultMapType:   reflect.TypeFor[map[string]any](),
		MaxNestedLevels:  MaxDepth + 16,
		MaxArrayElements: 1<<31 - 1,
		MaxMapPairs:      1<<31 - 1,
		UTF8:             cbor.UTF8RejectInvalid,
		BignumTag:        cbor.BignumTagForbidden,
		NaN:              cbor.NaNDecodeForbidden,
		SimpleValues:     simple,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	opt := cbor.CoreDetEncOptions()
	opt.Time, opt.TimeTag = cbor.TimeRFC3339NanoUTC, cbor.EncTagRequired
	opt.NaNConvert, opt.InfConvert = cbor.NaNConvertReject, cbor.InfConvertFloat16
	enc, err := opt.EncMode()
	if err != nil {
		panic(err)
	}
	decMode, encMode = dec, enc
}

// onlySimple are the simple values that the store has: false, true and null.
func onlySimple() (*cbor.SimpleValueRegistry, error) {
	var reject []func(*cbor.SimpleValueRegistry) error
	for i := range 256 {
		if (i < 20 || i > 22) && (i < 24 || i > 31) { // 24 to 31 are not well-formed
			reject = append(reject, cbor.WithRejectedSimpleValue(cbor.SimpleValue(i)))
		}
	}
	return cbor.NewSimpleValueRegistryFromDefaults(reject...)
}

// Parse reads an entry. It keeps nothing of data.
func Parse(data []byte) (*Entry, error) {
	e := new(Entry)
	if err := decMode.Unmarshal(data, e); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if e.Format != Format {
		return nil, fmt.Errorf("%w: its format is %d, not %d", ErrFormat, e.Format, Format)
	}
	for i := range e.Blocks {
		if err := e.Blocks[i].check(); err != nil {
			return nil, fmt.Errorf("%w: block %d: %w", ErrFormat, i, err)
		}
	}
	return e, nil
}

// check finds what does not fit together, so that nobody needs to look again.
func (b *Block) check() error {
	n := b.Rows
	switch {
	case n < 0 || len(b.Created) != n || len(b.Updated) != n || len(b.Versions) != n || len(b.Places) != n:
		return errors.New("metadata for another number of rows")
	case b.Expires != nil && len(b.Expires) != n || b.Extras != nil && len(b.Extras) != n:
		return errors.New("deadlines or extra fields for another number of rows")
	case len(b.Names) != len(b.Columns):
		return errors.New("as many names as columns are needed")
	}
	for i, hole := range b.Holes {
		if i >= uint64(len(b.Columns)) || len(hole) != (n+7)/8 || n%8 != 0 && hole[n/8]>>(n%8) != 0 {
			return errors.New("holes for other rows")
		}
	}
	for _, key := range b.Deleted {
		switch key.(type) {
		case string, int64:
		default:
			return errors.New("a key is neither text nor an integer")
		}
	}
	for _, extra := range b.Extras {
		if _, err := settle(extra); err != nil {
			return err
		}
	}
	return nil
}

// Column decodes the values of one column into out, a pointer to a slice: as many as there are rows without a hole.
func (b *Block) Column(i int, out any) error {
	if err := decMode.Unmarshal(b.Columns[i], out); err != nil {
		return fmt.Errorf("%w: column %q: %w", ErrFormat, b.Names[i], err)
	}
	if err := checkColumn(b.Columns[i], out); err != nil {
		return fmt.Errorf("%w: column %q: %w", ErrFormat, b.Names[i], err)
	}
	want := b.Rows
	for _, x := range b.Holes[uint64(i)] {
		want -= bits.OnesCount8(x)
	}
	if n := reflect.ValueOf(out).Elem().Len(); n != want {
		return fmt.Errorf("%w: column %q has %d values, not %d", ErrFormat, b.Names[i], n, want)
	}
	return nil
}

// Absent reports whether a row has no value in a column.
func (b *Block) Absent(column, row int) bool {
	hole := b.Holes[uint64(column)]
	return hole != nil && hole[row/8]>>(row%8)&1 != 0
}

// Encode writes an entry that Parse has read, or that was made like one.
func (e *Entry) Encode() ([]byte, error) {
	out := *e
	out.Blocks = slices.Clone(e.Blocks)
	for i := range out.Blocks {
		extras := slices.Clone(out.Blocks[i].Extras)
		for k, extra := range extras {
			extras[k], _ = withRawTimes(extra).(map[string]any)
		}
		out.Blocks[i].Extras = extras
	}
	return encMode.Marshal(&out)
}

// withRawTimes copies a value, with its times encoded: the library has no mode for their form, and makes the zero time
// null.
func withRawTimes(v any) any {
	switch v := v.(type) {
	case time.Time:
		return cbor.RawMessage(AppendTime(nil, v))
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = withRawTimes(v[i])
		}
		return out
	case map[string]any:
		if v == nil {
			return v
		}
		out := make(map[string]any, len(v))
		for name, x := range v {
			out[name] = withRawTimes(x)
		}
		return out
	}
	return v
}

// Record is one record of a block.
type Record struct {
	Fields                    map[string]any // with the extra ones
	Created, Updated, Expires int64
	Version, Place            uint64
}

// Records returns the records of a block one by one, for those who do not mind the time.
func (b *Block) Records() ([]Record, error) {
	out := make([]Record, b.Rows)
	for i := range out {
		out[i] = Record{Fields: make(map[string]any, len(b.Names)), Created: b.Created[i], Updated: b.Updated[i], Version: b.Versions[i], Place: b.Places[i]}
		if b.Expires != nil {
			out[i].Expires = b.Expires[i]
		}
	}
	for c, name := range b.Names {
		var values []any
		if err := b.Column(c, &values); err != nil {
			return nil, err
		}
		at := 0
		for i := range out {
			if !b.Absent(c, i) {
				out[i].Fields[name] = values[at]
				at++
			}
		}
	}
	for i, extra := range b.Extras {
		maps.Copy(out[i].Fields, extra)
	}
	return out, nil
}

// MarshalValue encodes one value of the store, and UnmarshalValue decodes it.
func MarshalValue(v any) ([]byte, error) { return AppendValue(nil, v) }

// UnmarshalValue decodes what MarshalValue has encoded, into a pointer.
func UnmarshalValue(data []byte, v any) error {
	if err := decMode.Unmarshal(data, v); err != nil {
		return err
	}
	var err error
	switch v := v.(type) {
	case *any:
		*v, err = settle(*v)
	case *[]any:
		_, err = settle(*v)
	case *map[string]any:
		_, err = settle(*v)
	}
	return err
}

// Marshal encodes what is made of structs and canonical values, such as a definition. The zero time becomes null.
func Marshal(v any) ([]byte, error) { return encMode.Marshal(v) }
