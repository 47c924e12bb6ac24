module github.com/noex-go/store/examples/rules

go 1.25.0

replace (
	github.com/noex-go/store => ../..
	github.com/noex-go/store/bridge/exprrules => ../../bridge/exprrules
)

require (
	github.com/noex-go/store v0.0.0-00010101000000-000000000000
	github.com/noex-go/store/bridge/exprrules v0.0.0-00010101000000-000000000000
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/expr-lang/expr v1.17.8 // indirect
	github.com/fxamacker/cbor/v2 v2.9.4 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/lucsky/cuid v1.2.1 // indirect
	github.com/x448/float16 v0.8.4 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)
