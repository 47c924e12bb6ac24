package bridge

import "github.com/noex-go/store"

// Data is what a receiver gets of an event where [Options.MapData] says nothing
// else: type, bucket, key, and seq, an int64; reason where it is a delete; the record
// as [store.Record.Map] has it, under record, or oldRecord and newRecord of an
// update. The maps are fresh.
func Data(e store.Event) map[string]any {
	m := map[string]any{
		"type":   e.Type.String(),
		"bucket": e.Bucket,
		"key":    e.Key.Value(),
		"seq":    int64(e.Seq),
	}
	switch e.Type {
	case store.Inserted:
		m["record"] = e.New.Map()
	case store.Updated:
		m["oldRecord"], m["newRecord"] = e.Old.Map(), e.New.Map()
	case store.Deleted:
		m["record"], m["reason"] = e.Old.Map(), e.Reason.String()
	}
	return m
}
