package store

// hasPlaceholder reports whether a value of the filter is to come from parameters.
func (f *Filter) hasPlaceholder() bool { return false }
