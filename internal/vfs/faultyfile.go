package vfs

import "io"

type faultyFile struct {
	f    *Faulty
	file File
	name string
}

func (f *faultyFile) ReadAt(p []byte, off int64) (n int, err error) {
	err = f.f.do(Op{Kind: Read, Name: f.name, Off: off, Len: len(p)}, func() (err error) {
		n, err = f.file.ReadAt(p, off)
		return err
	}, nil, func() { n = 0 })
	return n, err
}

// WriteAt has its own way of failing: in the middle.
func (f *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	op := Op{Kind: Write, Name: f.name, Off: off, Len: len(p)}
	fault := f.f.announce(&op)
	if f.f.After != nil {
		defer func() { f.f.After(op) }()
	}
	switch {
	case fault.After && fault.Err != nil:
		if n, err := f.file.WriteAt(p, off); err != nil {
			return n, err
		}
		return 0, fault.error(op)
	case fault.Err == nil && fault.Short <= 0:
		return f.file.WriteAt(p, off)
	case fault.Err == nil:
		fault.Err = io.ErrShortWrite
	}
	n := min(max(fault.Short, 0), len(p)-1)
	if n > 0 {
		var err error
		if n, err = f.file.WriteAt(p[:n], off); err != nil {
			return n, err
		}
	}
	return max(n, 0), fault.error(op)
}

func (f *faultyFile) Truncate(size int64) error {
	return f.f.do(Op{Kind: Truncate, Name: f.name, Off: size}, func() error { return f.file.Truncate(size) }, nil, nil)
}

func (f *faultyFile) Size() (size int64, err error) {
	err = f.f.do(Op{Kind: Size, Name: f.name}, func() (err error) {
		size, err = f.file.Size()
		return err
	}, nil, func() { size = 0 })
	return size, err
}

func (f *faultyFile) Sync() error {
	return f.f.do(Op{Kind: Sync, Name: f.name}, f.file.Sync, f.failSync, nil)
}

func (f *faultyFile) failSync() {
	if m, ok := f.file.(interface{ failSync() }); ok {
		m.failSync()
	}
}

func (f *faultyFile) Close() error { return f.f.closeNamed(f.name, f.file) }
