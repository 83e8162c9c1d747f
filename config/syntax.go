package config

import (
	"bytes"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of a file. They keep the parser, which calls itself for each level and takes quadratic time
// for the keys of one mapping, away from the end of its stack and of anybody's patience; the largest
// file that anybody writes by hand is far below.
const (
	maxFile   = 1 << 20 // bytes
	maxLine   = 2000    // bytes
	maxDepth  = 40      // brackets within brackets
	maxTokens = 40_000  // words and signs; a stack has about 100
)

// parse returns the one document of the file, or nil after reporting why there is none.
func (r *reader) parse(data []byte) ast.Node {
	text, ok := r.plainText(data)
	if !ok {
		return nil
	}
	file := r.parseText(text)
	if file == nil {
		return nil
	}
	var body ast.Node
	for i, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if i > 0 && body != nil {
			r.syntax(doc.Body.GetToken(), "the file has a second document", "one file, one document: remove the line ---")
			return nil
		}
		body = doc.Body
	}
	return body
}

// plainText refuses what no text editor would save.
func (r *reader) plainText(data []byte) (text string, ok bool) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	switch {
	case len(data) > maxFile:
		r.whole("the file is larger than 1 MiB", "")
		return "", false
	case !utf8.Valid(data):
		r.whole("the file is not UTF-8", "save it as UTF-8")
		return "", false
	}
	text = strings.ReplaceAll(string(data), "\r\n", "\n")
	line := 0
	for content := range strings.SplitSeq(text, "\n") {
		line++
		control := strings.IndexFunc(content, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f || c == '\ufeff' })
		switch {
		case len(content) > maxLine:
			r.found(Problem{Line: line, Column: maxLine, Message: "the line is longer than 2000 bytes", Hint: "break it"})
			return "", false
		case control >= 0:
			r.found(Problem{Line: line, Column: control + 1, Message: "the line holds a control character", Hint: "remove it"})
			return "", false
		}
	}
	return text, true
}

// plainTokens refuses the parts of YAML by which a value is written elsewhere than where it is read,
// or is another than it looks.
func (r *reader) plainTokens(tokens token.Tokens) bool {
	if len(tokens) > maxTokens {
		r.whole("the file has more than 40000 words and signs", "is it the right one?")
		return false
	}
	good, depth := true, 0
	for _, tk := range tokens {
		what := ""
		switch tk.Type { //nolint:exhaustive // the other tokens are plain YAML
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			what = "anchors, aliases and merge keys"
		case token.TagType, token.DirectiveType:
			what = "tags and directives"
		case token.MappingKeyType:
			what = "keys that begin with ?"
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		}
		if depth > maxDepth {
			r.syntax(tk, "brackets are nested too deeply", "")
			return false
		}
		if what != "" {
			r.syntax(tk, what+" are not read here", "write the value out, in quotes if it is text")
			good = false
		}
	}
	return good
}

// parseText hands the text to the parser. A parser that panics has met a file that it cannot read.
func (r *reader) parseText(text string) (file *ast.File) {
	defer func() {
		if recover() != nil {
			r.whole("the file is not YAML", "is a bracket or a quotation mark missing?")
			file = nil
		}
	}()
	tokens := lexer.Tokenize(text)
	if !r.plainTokens(tokens) {
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err == nil {
		return file
	}
	// The error's own text quotes the lines around it, which may hold what belongs to nobody's log.
	if known, ok := errors.AsType[mistake](err); ok {
		r.syntax(known.GetToken(), "the file is not YAML: "+known.GetMessage(), "")
	} else {
		r.whole("the file is not YAML", "")
	}
	return nil
}

// mistake is what the parser's errors have in common.
type mistake interface {
	error
	GetToken() *token.Token
	GetMessage() string
}

// syntax reports a mistake in the writing itself, where there is no path yet.
func (r *reader) syntax(tk *token.Token, message, hint string) {
	p := Problem{Line: 1, Column: 1, Message: message, Hint: hint}
	if tk != nil && tk.Position != nil {
		p.Line, p.Column = tk.Position.Line, tk.Position.Column
	}
	r.found(p)
}

// whole reports a mistake of the file as such.
func (r *reader) whole(message, hint string) { r.found(Problem{Message: message, Hint: hint}) }
