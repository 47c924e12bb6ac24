package store_test

import (
	"go/ast"
	godoc "go/doc"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// public are the directories of the packages that users import.
var public = []string{".", "bridge", "bridge/exprrules", "persist/file", "persist/memory", "persist/persisttest", "persist/sqlite"}

// parsePackage reads a package and its examples, in files named example*_test.go.
func parsePackage(t *testing.T, dir string) *godoc.Package {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") && !strings.HasPrefix(filepath.Base(name), "example") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		require.NoError(t, err)
		files = append(files, f)
	}
	p, err := godoc.NewFromFiles(fset, files, path.Join("github.com/noex-go/store", dir))
	require.NoError(t, err)
	return p
}

// TestDocumented: every exported type has a comment, and an example of its own or of
// one of its constructors and methods. An example without output is only compiled, so
// it must have one.
func TestDocumented(t *testing.T) {
	for _, dir := range public {
		p := parsePackage(t, dir)
		require.NotEmpty(t, p.Doc, dir)
		require.NotEmpty(t, p.Types, dir)
		for _, typ := range p.Types {
			name := p.Name + "." + typ.Name
			require.NotEmpty(t, typ.Doc, name)
			examples := typ.Examples
			for _, f := range append(typ.Funcs, typ.Methods...) {
				examples = append(examples, f.Examples...)
			}
			require.NotEmpty(t, examples, "%s has no example", name)
			for _, e := range examples {
				require.True(t, e.Output != "" || e.EmptyOutput, "Example%s of %s is not run", e.Name, name)
			}
		}
	}
}
