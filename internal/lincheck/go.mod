module github.com/noex-go/store/internal/lincheck

go 1.25.0

replace github.com/noex-go/store => ../..

require github.com/noex-go/store v0.0.0

require (
	github.com/fxamacker/cbor/v2 v2.9.4 // indirect
	github.com/x448/float16 v0.8.4 // indirect
)

require (
	github.com/anishathalye/porcupine v1.3.1
	github.com/google/uuid v1.6.0 // indirect
	github.com/lucsky/cuid v1.2.1 // indirect
)
