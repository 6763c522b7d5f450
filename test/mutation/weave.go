// Package mutation puts many mistakes into one test binary, and chooses one of them when it runs.
//
// To compile a package and its tests for each mutant would take seconds a mutant, which is more
// than the tests themselves take. Weave compiles all mutants at once: each function that a mutant
// changes gets a copy with that change, and begins with a switch on the mutant's number:
//
//	func (t *tenure) isDue(mono time.Duration) bool {
//		switch leaderkitMutant {
//		case 17:
//			return t.isDue__17(mono)
//		}
//		...
//
// The number comes from the environment variable LEADERKIT_MUTANT; without it the code is the real
// one. Nothing in the work tree is touched: the compiler is handed the woven files in place of the
// real ones (go build -overlay).
package mutation

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Variable is the environment variable that names the mutant at run time.
const Variable = "LEADERKIT_MUTANT"

// Mutant is a mistake in functions of one or more files.
type Mutant struct {
	Number int               // above 0, another for each
	Files  map[string]string // from the module's root -> the whole file with the mistake in it
}

// ErrNotInFunctions says that a mutant changes something besides the bodies of functions, which
// can't be chosen at run time.
var ErrNotInFunctions = errors.New("the change is not in the body of a function")

// Woven is the source with all mutants in it.
type Woven struct {
	root  string
	files map[string]*woven // from the module's root
}

// woven is one file.
type woven struct {
	file   string
	source string
	parsed *ast.File
	fset   *token.FileSet
	funcs  map[string]*ast.FuncDecl
	clones map[string][]clone // function -> its mutants
	lines  []span             // of the clones in the text, for errors of the compiler
	at     string             // where the text was written to
}

type clone struct {
	mutant int
	text   string // of the whole function, under its new name
}

type span struct{ mutant, from, to int }

// Weave adds mutants. One that can't be woven in is left out, and its error returned by its number.
func Weave(root string, mutants []Mutant) (*Woven, map[int]error) {
	w, failed := &Woven{root: root, files: map[string]*woven{}}, map[int]error{}
	for _, m := range mutants {
		if err := w.add(m); err != nil {
			failed[m.Number] = err
			w.Drop(m.Number)
		}
	}
	return w, failed
}

func (w *Woven) add(m Mutant) error {
	for file, changed := range m.Files {
		f := w.files[file]
		if f == nil {
			source, err := os.ReadFile(filepath.Join(w.root, file))
			if err != nil {
				return err
			}
			if f, err = newWoven(file, string(source)); err != nil {
				return err
			}
			w.files[file] = f
		}
		if err := f.add(m.Number, changed); err != nil {
			return err
		}
	}
	return nil
}

// Drop takes a mutant out again.
func (w *Woven) Drop(mutant int) {
	for _, f := range w.files {
		for name := range f.clones {
			f.clones[name] = slices.DeleteFunc(f.clones[name], func(c clone) bool { return c.mutant == mutant })
		}
	}
}

func newWoven(file, source string) (*woven, error) {
	f := &woven{file: file, source: source, fset: token.NewFileSet(), clones: map[string][]clone{}}
	var err error
	if f.parsed, err = parser.ParseFile(f.fset, file, source, parser.SkipObjectResolution); err != nil {
		return nil, err
	}
	f.funcs = functions(f.parsed)
	return f, nil
}

// functions are those of a file, by receiver and name.
func functions(parsed *ast.File) map[string]*ast.FuncDecl {
	found := map[string]*ast.FuncDecl{}
	for _, d := range parsed.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
			name := fn.Name.Name
			if name == "init" {
				name = fmt.Sprint("init ", fn.Pos()) // there may be many
			}
			if fn.Recv != nil {
				name = receiverType(fn.Recv.List[0].Type) + "." + name
			}
			found[name] = fn
		}
	}
	return found
}

func receiverType(e ast.Expr) string {
	switch t := e.(type) {
	case *ast.StarExpr:
		return receiverType(t.X)
	case *ast.IndexExpr:
		return receiverType(t.X)
	case *ast.Ident:
		return t.Name
	}
	return "?"
}

// add compares the changed file with the real one, function by function.
func (f *woven) add(mutant int, changed string) error {
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, f.file, changed, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	if outside(f.fset, f.parsed, f.source) != outside(fset, parsed, changed) {
		return ErrNotInFunctions
	}
	differs := false
	for name, fn := range functions(parsed) {
		real := f.funcs[name]
		if real == nil {
			return ErrNotInFunctions
		}
		text := slice(fset, changed, fn.Pos(), fn.End())
		if text == slice(f.fset, f.source, real.Pos(), real.End()) {
			continue
		}
		differs = true
		at := offset(fset, fn.Name.End()) - offset(fset, fn.Pos())
		f.clones[name] = append(f.clones[name], clone{mutant, text[:at] + suffix(mutant) + text[at:]})
	}
	if !differs {
		return errors.New("nothing is changed")
	}
	return nil
}

func suffix(mutant int) string { return fmt.Sprintf("__%d", mutant) }

// outside is all of a file but the bodies of its functions.
func outside(fset *token.FileSet, parsed *ast.File, source string) string {
	var b strings.Builder
	at := 0
	for _, d := range parsed.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
			b.WriteString(source[at:offset(fset, fn.Body.Lbrace)])
			at = offset(fset, fn.Body.Rbrace)
		}
	}
	return b.String() + source[at:]
}

func offset(fset *token.FileSet, p token.Pos) int { return fset.Position(p).Offset }

func slice(fset *token.FileSet, source string, from, to token.Pos) string {
	return source[offset(fset, from):offset(fset, to)]
}

// edit replaces source[from:to].
type edit struct {
	from, to int
	text     string
}

// text is the woven file.
func (f *woven) text() string {
	var edits []edit
	var names []string
	for name, clones := range f.clones {
		if len(clones) > 0 {
			edits = append(edits, f.dispatch(f.funcs[name], clones)...)
			names = append(names, name)
		}
	}
	slices.Sort(names)
	slices.SortFunc(edits, func(a, b edit) int { return cmp.Compare(a.from, b.from) })
	var b strings.Builder
	at := 0
	for _, e := range edits {
		b.WriteString(f.source[at:e.from] + e.text)
		at = e.to
	}
	b.WriteString(f.source[at:])
	line := strings.Count(b.String(), "\n") + 1
	f.lines = nil
	for _, name := range names {
		for _, c := range f.clones[name] {
			b.WriteString("\n" + c.text + "\n")
			n := strings.Count(c.text, "\n")
			f.lines = append(f.lines, span{c.mutant, line + 1, line + 1 + n})
			line += n + 2
		}
	}
	return b.String()
}

// dispatch has a function begin with a switch on the mutant, and all of its parameters named.
func (f *woven) dispatch(fn *ast.FuncDecl, clones []clone) []edit {
	var edits []edit
	unnamed := 0
	name := func(fields *ast.FieldList) (names []string) {
		if fields == nil {
			return nil
		}
		for _, field := range fields.List {
			fresh := func() string { unnamed++; return fmt.Sprintf("unnamed%d", unnamed) }
			if len(field.Names) == 0 {
				n := fresh()
				at := offset(f.fset, field.Type.Pos())
				edits = append(edits, edit{at, at, n + " "})
				names = append(names, n)
			}
			for _, id := range field.Names {
				n := id.Name
				if n == "_" {
					n = fresh()
					edits = append(edits, edit{offset(f.fset, id.Pos()), offset(f.fset, id.End()), n})
				}
				names = append(names, n)
			}
			if _, variadic := field.Type.(*ast.Ellipsis); variadic {
				names[len(names)-1] += "..."
			}
		}
		return names
	}
	callee := fn.Name.Name
	if receiver := name(fn.Recv); receiver != nil {
		callee = receiver[0] + "." + callee
	}
	arguments := strings.Join(name(fn.Type.Params), ", ")
	types := ""
	if fn.Type.TypeParams != nil {
		var list []string
		for _, field := range fn.Type.TypeParams.List {
			for _, id := range field.Names {
				list = append(list, id.Name)
			}
		}
		types = "[" + strings.Join(list, ", ") + "]"
	}
	var b strings.Builder
	b.WriteString(" switch leaderkitMutant { ")
	for _, c := range clones {
		call := callee + suffix(c.mutant) + types + "(" + arguments + ")"
		if fn.Type.Results == nil {
			fmt.Fprintf(&b, "case %d: %s; return; ", c.mutant, call)
		} else {
			fmt.Fprintf(&b, "case %d: return %s; ", c.mutant, call)
		}
	}
	b.WriteString("};")
	at := offset(f.fset, fn.Body.Lbrace) + 1
	return append(edits, edit{at, at, b.String()})
}

// Write puts the woven files into dir, and returns the path of the list that "go build -overlay"
// wants.
func (w *Woven) Write(dir string) (overlay string, err error) {
	replace := map[string]string{}
	packages := map[string]string{} // folder -> name
	for file, f := range w.files {
		to := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(to, []byte(f.text()), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(w.root, file)], f.at = to, to
		packages[filepath.Dir(file)] = f.parsed.Name.Name
	}
	for folder, name := range packages {
		to := filepath.Join(dir, strings.ReplaceAll(folder, "/", "_")+"_mutant_switch.go")
		source := "package " + name + "\n\nimport (\n\t\"os\"\n\t\"strconv\"\n)\n\nvar leaderkitMutant, _ = strconv.Atoi(os.Getenv(\"" + Variable + "\"))\n"
		if err := os.WriteFile(to, []byte(source), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(w.root, folder, "leaderkit_mutant_switch.go")] = to
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, list, 0o600)
}

// at returns the mutant that the line of a woven file belongs to; 0: none.
func (w *Woven) at(file string, line int) int {
	if !filepath.IsAbs(file) {
		file = filepath.Join(w.root, file)
	}
	for name, f := range w.files {
		if file == f.at || file == filepath.Join(w.root, name) {
			for _, s := range f.lines {
				if s.from <= line && line <= s.to {
					return s.mutant
				}
			}
		}
	}
	return 0
}
