package dynamotest

import (
	"math/big"
	"strconv"
	"strings"
)

// DynamoDB's limits: 38 significant digits, magnitudes from 1E-130 up to 9.99…E+125.
const (
	maxDigits      = 38
	maxMagnitude   = 125
	minMagnitude   = -130
	maxWrittenSize = 512 // digits that a client may write before we stop reading; far above anything that can be valid
)

const (
	errNotANumber     = invalid("A value provided cannot be converted into a number")
	errNumberOverflow = invalid("Number overflow. Attempting to store a number with magnitude larger than supported range")
	errNumberTooSmall = invalid("Number underflow. Attempting to store a number with magnitude smaller than supported range")
	errTooManyDigits  = invalid("DynamoDB only supports precision up to 38 digits")
)

// number is a decimal: ±0.d1d2d3… × 10^exp, where digits has neither leading nor trailing zeros.
// Zero has no digits. Two equal numbers are equal structs, so that numbers can be compared with ==
// and used as map keys.
type number struct {
	digits string
	exp    int
	neg    bool
}

func parseNumber(text string) (number, error) {
	rest := text
	neg := strings.HasPrefix(rest, "-")
	if neg || strings.HasPrefix(rest, "+") {
		rest = rest[1:]
	}
	mantissa, exponent, hasExponent := cutAny(rest, "eE")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	if len(whole)+len(fraction) == 0 || len(mantissa) > maxWrittenSize || !allDigits(whole) || !allDigits(fraction) {
		return number{}, errNotANumber
	}
	exp := len(whole)
	if hasExponent {
		written, ok := parseExponent(exponent)
		if !ok {
			return number{}, errNotANumber
		}
		exp += written
	}
	digits := whole
	if fraction != "" {
		digits += fraction
	}
	return newNumber(neg, digits, exp)
}

// newNumber normalises and checks the limits.
func newNumber(neg bool, digits string, exp int) (number, error) {
	significant := strings.TrimLeft(digits, "0")
	exp -= len(digits) - len(significant)
	significant = strings.TrimRight(significant, "0")
	switch {
	case significant == "":
		return number{}, nil
	case exp-1 > maxMagnitude:
		return number{}, errNumberOverflow
	case exp-1 < minMagnitude:
		return number{}, errNumberTooSmall
	case len(significant) > maxDigits:
		return number{}, errTooManyDigits
	}
	return number{digits: significant, exp: exp, neg: neg}, nil
}

func cutAny(s, chars string) (before, after string, found bool) {
	if i := strings.IndexAny(s, chars); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

func allDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// parseExponent saturates: an exponent of a thousand digits is still an overflow, not a syntax
// error.
func parseExponent(s string) (int, bool) {
	const saturated = 1 << 20
	neg := strings.HasPrefix(s, "-")
	if neg || strings.HasPrefix(s, "+") {
		s = s[1:]
	}
	if s == "" || !allDigits(s) {
		return 0, false
	}
	n := 0
	for i := 0; i < len(s) && n < saturated; i++ {
		n = n*10 + int(s[i]-'0')
	}
	if neg {
		n = -n
	}
	return n, true
}

// String writes the number as DynamoDB returns it: plain decimal notation, no superfluous zeros.
func (n number) String() string {
	if n.digits == "" {
		return "0"
	}
	var b strings.Builder
	if n.neg {
		b.WriteByte('-')
	}
	switch {
	case n.exp <= 0:
		b.WriteString("0.")
		b.WriteString(strings.Repeat("0", -n.exp))
		b.WriteString(n.digits)
	case n.exp >= len(n.digits):
		b.WriteString(n.digits)
		b.WriteString(strings.Repeat("0", n.exp-len(n.digits)))
	default:
		b.WriteString(n.digits[:n.exp])
		b.WriteByte('.')
		b.WriteString(n.digits[n.exp:])
	}
	return b.String()
}

func (n number) sign() int {
	switch {
	case n.digits == "":
		return 0
	case n.neg:
		return -1
	}
	return 1
}

func (n number) compare(m number) int {
	if s, t := n.sign(), m.sign(); s != t || s == 0 {
		return s - t
	}
	magnitude := n.exp - m.exp
	if magnitude == 0 {
		magnitude = strings.Compare(n.digits, m.digits)
	}
	if n.neg {
		return -magnitude
	}
	return magnitude
}

func (n number) negated() number {
	n.neg = !n.neg && n.digits != ""
	return n
}

func (n number) plus(m number) (number, error) {
	// Both as integers in units of the smaller one's last digit.
	unit := min(n.exp-len(n.digits), m.exp-len(m.digits))
	if n.digits == "" {
		return m, nil
	}
	if m.digits == "" {
		return n, nil
	}
	sum := new(big.Int).Add(n.scaled(unit), m.scaled(unit))
	digits := new(big.Int).Abs(sum).String()
	return newNumber(sum.Sign() < 0, digits, unit+len(digits))
}

// scaled gives n / 10^unit, which must be whole.
func (n number) scaled(unit int) *big.Int {
	i, _ := new(big.Int).SetString(n.digits, 10)
	shift := n.exp - len(n.digits) - unit
	if shift > 0 {
		i.Mul(i, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(shift)), nil))
	}
	if n.neg {
		i.Neg(i)
	}
	return i
}

// size is what a number occupies: a byte, one for every two digits, counted from the decimal point,
// and one for a minus.
func (n number) size() int {
	size := 1 + (len(n.digits)+1)/2
	if n.exp%2 != 0 { // the first digit shares its pair with a zero
		size = 1 + (len(n.digits)+2)/2
	}
	if n.neg {
		size++
	}
	return size
}

func wholeNumber(n int) number {
	whole, err := parseNumber(strconv.Itoa(n))
	if err != nil {
		panic(err) // an int has at most 19 digits
	}
	return whole
}
