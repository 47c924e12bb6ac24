package keyenc

import "errors"

// ErrMalformed indicates that bytes are not what the Append functions write: cut short, of an unknown kind, or a second
// spelling of a value that has another, canonical one.
var ErrMalformed = errors.New("keyenc: malformed key")
