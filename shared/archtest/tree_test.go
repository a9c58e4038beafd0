package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module is the module's path, the beginning of its packages' import paths.
const module = "bambuddy/"

// file is one file of the repository.
type file struct {
	path string // from the root, with slashes
	text string

	// Go files only.
	fset *token.FileSet
	ast  *ast.File
}

func newFile(name, text string) (file, error) {
	f := file{path: name, text: text}
	if !f.isGo() {
		return f, nil
	}
	f.fset = token.NewFileSet()
	var err error
	f.ast, err = parser.ParseFile(f.fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	return f, err
}

func (f file) isGo() bool   { return path.Ext(f.path) == ".go" }
func (f file) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

// isShell tells whether it is a script for a shell.
func (f file) isShell() bool {
	first, _, _ := strings.Cut(f.text, "\n")
	return path.Ext(f.path) == ".sh" || strings.HasPrefix(first, "#!") && strings.HasSuffix(first, "sh")
}

// in tells whether the file lies in one of the folders, at any depth.
func (f file) in(folders ...string) bool { return within(f.path, folders...) }

// within tells whether a path is one of the folders or lies in it.
func within(name string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(folder string) bool {
		return name == folder || strings.HasPrefix(name, folder+"/")
	})
}

// imports are the paths that a Go file imports.
func (f file) imports() []string {
	var all []string
	for _, spec := range f.ast.Imports {
		p, _ := strconv.Unquote(spec.Path.Value) // it was parsed, so it is a string
		all = append(all, p)
	}
	return all
}

// ours are the packages of this module that a Go file imports, from the root.
func (f file) ours() []string {
	var all []string
	for _, p := range f.imports() {
		if rest, ok := strings.CutPrefix(p, module); ok {
			all = append(all, rest)
		}
	}
	return all
}

// at is a finding at a node of a Go file.
func (f file) at(n ast.Node, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: %s", f.path, f.fset.Position(n.Pos()).Line, fmt.Sprintf(format, args...))
}

// repository reads the files under a root, except those that git ignores and
// those that are nobody's text.
func repository(t *testing.T, root string) []file {
	t.Helper()
	ignored := ignores(t, root)
	var all []file
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		switch {
		case d.IsDir() && (rel == ".git" || slices.Contains(ignored, rel) || slices.Contains(ignored, d.Name())):
			return fs.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		f, err := newFile(rel, string(text))
		all = append(all, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// ignores are the names in .gitignore, which has folders only.
func ignores(t *testing.T, root string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, ".gitignore"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		if name := strings.Trim(strings.TrimSpace(line), "/"); name != "" && !strings.HasPrefix(name, "#") {
			names = append(names, name)
		}
	}
	return names
}
