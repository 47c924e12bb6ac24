module github.com/noex-go/store

go 1.25.0

require (
	github.com/fxamacker/cbor/v2 v2.9.4
	github.com/google/uuid v1.6.0
	github.com/lucsky/cuid v1.2.1
	github.com/stretchr/testify v1.12.1
	github.com/x448/float16 v0.8.4
)

require go.yaml.in/yaml/v3 v3.0.5 // indirect
