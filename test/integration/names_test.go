package integration

import (
	"context"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go/service/dynamodb"
)

type ctx = context.Context

func itoa(n int) string { return strconv.Itoa(n) }

// dropTable deletes a table.
func dropTable(name string) error {
	_, err := admin.DeleteTable(&dynamodb.DeleteTableInput{TableName: &name})
	return err
}

// contains reports whether an error's text has a part.
func contains(err error, part string) bool { return strings.Contains(err.Error(), part) }
