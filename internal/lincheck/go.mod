module github.com/noex-go/store/internal/lincheck

go 1.25.0

replace github.com/noex-go/store => ../..

require github.com/noex-go/store v0.0.0

require (
	github.com/anishathalye/porcupine v1.3.1
	github.com/google/uuid v1.6.0 // indirect
	github.com/lucsky/cuid v1.2.1 // indirect
)
