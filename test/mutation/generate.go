package mutation

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Mistake is a mutant that Generate has made.
type Mistake struct {
	Mutant
	Where string // file:line, in the function
	What  string // old -> new
}

// Generate makes all small mistakes that it knows in the functions of a file, numbered from that
// number on: conditions negated, cases never taken, comparisons and operators exchanged, statements
// dropped, whole numbers raised by one, arms of max and min left out, true for false.
func Generate(root, file string, number int) ([]Mistake, error) {
	read, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		return nil, err
	}
	g := &generator{file: file, source: string(read), fset: token.NewFileSet(), number: number}
	parsed, err := parser.ParseFile(g.fset, file, read, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	for _, d := range parsed.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
			g.function = fn.Name.Name
			ast.Inspect(fn.Body, g.visit)
		}
	}
	return g.made, nil
}

type generator struct {
	file, source, function string
	fset                   *token.FileSet
	number                 int
	made                   []Mistake
}

// replace makes a mistake of the source between two places.
func (g *generator) replace(from, to token.Pos, text string) {
	a, b := offset(g.fset, from), offset(g.fset, to)
	old := g.source[a:b]
	if old == text {
		return
	}
	g.made = append(g.made, Mistake{
		Mutant: Mutant{g.number, map[string]string{g.file: g.source[:a] + text + g.source[b:]}},
		Where:  fmt.Sprintf("%s:%d %s", g.file, g.fset.Position(from).Line, g.function),
		What:   fmt.Sprintf("%s -> %s", inOneLine(old), inOneLine(text)),
	})
	g.number++
}

func inOneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if s == "" {
		return "(nothing)"
	}
	return s[:min(len(s), 90)]
}

func (g *generator) text(n ast.Node) string { return slice(g.fset, g.source, n.Pos(), n.End()) }

// exchanged are the operators that take each other's places.
var exchanged = map[token.Token]token.Token{
	token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR, token.EQL: token.NEQ, token.NEQ: token.EQL,
	token.LAND: token.LOR, token.LOR: token.LAND, token.ADD: token.SUB, token.SUB: token.ADD, token.MUL: token.QUO, token.QUO: token.MUL,
}

func (g *generator) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.IfStmt:
		g.replace(n.Cond.Pos(), n.Cond.End(), "!("+g.text(n.Cond)+")")
	case *ast.SwitchStmt:
		if n.Tag == nil {
			g.cases(n)
		}
	case *ast.BinaryExpr:
		if other, ok := exchanged[n.Op]; ok {
			g.replace(n.OpPos, n.OpPos+token.Pos(len(n.Op.String())), other.String())
		}
	case *ast.ExprStmt, *ast.IncDecStmt:
		g.replace(n.Pos(), n.End(), "")
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			g.replace(n.Pos(), n.End(), "")
		}
	case *ast.BasicLit:
		if i, err := strconv.Atoi(n.Value); n.Kind == token.INT && err == nil {
			g.replace(n.Pos(), n.End(), strconv.Itoa(i+1))
		}
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.Ident); ok && (f.Name == "max" || f.Name == "min") {
			for _, arm := range n.Args {
				g.replace(n.Pos(), n.End(), g.text(arm))
			}
		}
	case *ast.Ident:
		switch n.Name {
		case "true":
			g.replace(n.Pos(), n.End(), "false")
		case "false":
			g.replace(n.Pos(), n.End(), "true")
		}
	}
	return true
}

// cases has each case of a switch without a tag never be taken.
func (g *generator) cases(s *ast.SwitchStmt) {
	for _, c := range s.Body.List {
		for _, condition := range c.(*ast.CaseClause).List {
			g.replace(condition.Pos(), condition.End(), "("+g.text(condition)+") && false")
		}
	}
}
