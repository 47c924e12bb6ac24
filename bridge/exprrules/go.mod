module github.com/noex-go/store/bridge/exprrules

go 1.25.0

replace github.com/noex-go/store => ../..

require (
	github.com/expr-lang/expr v1.17.8
	github.com/noex-go/store v0.0.0-00010101000000-000000000000
	github.com/stretchr/testify v1.12.1
	go.yaml.in/yaml/v3 v3.0.5
)

require (
	github.com/fxamacker/cbor/v2 v2.9.4 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/lucsky/cuid v1.2.1 // indirect
	github.com/x448/float16 v0.8.4 // indirect
)
