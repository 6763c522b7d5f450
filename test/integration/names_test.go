package integration

import (
	"context"
	"strconv"
)

type ctx = context.Context

func itoa(n int) string { return strconv.Itoa(n) }
