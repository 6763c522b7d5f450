package integration

import (
	"context"
	"strconv"

	"github.com/aws/aws-sdk-go/service/dynamodb"
)

type ctx = context.Context

func itoa(n int) string { return strconv.Itoa(n) }

// dropTable deletes a table.
func dropTable(name string) error {
	_, err := admin.DeleteTable(&dynamodb.DeleteTableInput{TableName: &name})
	return err
}
