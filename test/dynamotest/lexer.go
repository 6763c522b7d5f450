package dynamotest

// tokenKind tells the parser what a token may be used for.
type tokenKind int

const (
	tokenEnd      tokenKind = iota
	tokenWord               // a bare attribute name, a keyword or a function's name
	tokenName               // #name
	tokenValue              // :value
	tokenInteger            // a list index
	tokenOperator           // punctuation and comparators
	tokenUnknown            // a character that no expression may hold
)

type token struct {
	kind       tokenKind
	text       string
	start, end int // byte offsets in the source
}

// lex never fails: what it cannot read becomes a tokenUnknown, so that the parser reports it as
// DynamoDB does.
func lex(source string) []token {
	tokens := make([]token, 0, len(source)/3+2)
	for at := 0; at < len(source); {
		start := at
		c := source[at]
		k := tokenUnknown
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f':
			at++
			continue
		case isLetter(c):
			k = tokenWord
			at = skipWord(source, at+1)
		case (c == '#' || c == ':') && at+1 < len(source) && isWordByte(source[at+1]):
			k = tokenValue
			if c == '#' {
				k = tokenName
			}
			at = skipWord(source, at+1)
		case isDigit(c): // 0 or a number without leading zeros: "01" is two tokens
			k = tokenInteger
			at++
			for c != '0' && at < len(source) && isDigit(source[at]) {
				at++
			}
		default:
			at++
			switch c {
			case '<', '>':
				if at < len(source) && (source[at] == '=' || c == '<' && source[at] == '>') {
					at++
				}
				k = tokenOperator
			case '=', '+', '-', '.', ',', '(', ')', '[', ']':
				k = tokenOperator
			default:
				for at < len(source) && source[at]&0xC0 == 0x80 { // keep a multi-byte character whole
					at++
				}
			}
		}
		tokens = append(tokens, token{k, source[start:at], start, at})
	}
	return append(tokens, token{tokenEnd, "<EOF>", len(source), len(source)})
}

func skipWord(source string, at int) int {
	for at < len(source) && isWordByte(source[at]) {
		at++
	}
	return at
}

func isLetter(c byte) bool   { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func isDigit(c byte) bool    { return c >= '0' && c <= '9' }
func isWordByte(c byte) bool { return isLetter(c) || isDigit(c) || c == '_' }
