package lockclient

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// describe reads the table's key and status.
func (s *requests) describe(ctx context.Context) (*tableKey, error) {
	out, err := s.client.DescribeTableWithContext(ctx, &dynamodb.DescribeTableInput{TableName: &s.table}, once)
	if err != nil {
		return nil, err
	}
	return keyOf(out.Table)
}

func (s *requests) createTable(ctx context.Context, key tableKey) error {
	in := &dynamodb.CreateTableInput{
		TableName:   &s.table,
		BillingMode: aws.String(dynamodb.BillingModePayPerRequest),
	}
	add := func(name, keyType string) {
		in.AttributeDefinitions = append(in.AttributeDefinitions, &dynamodb.AttributeDefinition{
			AttributeName: &name, AttributeType: aws.String(dynamodb.ScalarAttributeTypeS),
		})
		in.KeySchema = append(in.KeySchema, &dynamodb.KeySchemaElement{AttributeName: &name, KeyType: &keyType})
	}
	add(key.partition, dynamodb.KeyTypeHash)
	if key.sort != "" {
		add(key.sort, dynamodb.KeyTypeRange)
	}
	_, err := s.client.CreateTableWithContext(ctx, in, once)
	return err
}

func (s *requests) enableTTL(ctx context.Context) error {
	_, err := s.client.UpdateTimeToLiveWithContext(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName:               &s.table,
		TimeToLiveSpecification: &dynamodb.TimeToLiveSpecification{AttributeName: aws.String(attrTTL), Enabled: aws.Bool(true)},
	}, once)
	return err
}

// scan reads the page of the table that begins after an item.
func (s *requests) scan(ctx context.Context, after item) (*page, error) {
	out, err := s.client.ScanWithContext(ctx, &dynamodb.ScanInput{TableName: &s.table, ExclusiveStartKey: after}, once)
	if err != nil {
		return nil, err
	}
	return &page{items: out.Items, last: out.LastEvaluatedKey}, nil
}

// deleteUnchanged deletes an item on condition that it is as it was seen; false: it is not, or it
// was deleted.
func (s *requests) deleteUnchanged(ctx context.Context, ended endedSession) (bool, error) {
	e := newExpression()
	condition := unchanged(e, ended.version)
	_, err := s.client.DeleteItemWithContext(ctx, &dynamodb.DeleteItemInput{
		TableName: &s.table, Key: ended.key, ConditionExpression: &condition,
		ExpressionAttributeNames: e.attributeNames(), ExpressionAttributeValues: e.bind(0),
	}, once)
	if _, refused := conditionFailed(err); refused {
		return false, nil
	}
	return err == nil, err
}

// page is a part of a table. last is where the next one begins; none: this is the last.
type page struct {
	items []item
	last  item
}

type item = map[string]*dynamodb.AttributeValue

// tableKey names a table's key attributes, both of type S; sort is "" for none.
type tableKey struct {
	partition, sort string
	status          string // of the table, when it was described
	other           string // what else is wrong with the key, "" for nothing
}

func (k tableKey) String() string {
	if k.sort == "" {
		return fmt.Sprintf("partition key %q (S)%s", k.partition, k.other)
	}
	return fmt.Sprintf("partition key %q (S) and sort key %q (S)%s", k.partition, k.sort, k.other)
}

// keyOf reads a table's key schema.
func keyOf(table *dynamodb.TableDescription) (*tableKey, error) {
	if table == nil {
		return nil, errors.New("the answer describes no table")
	}
	types := make(map[string]string, len(table.AttributeDefinitions))
	for _, definition := range table.AttributeDefinitions {
		types[aws.StringValue(definition.AttributeName)] = aws.StringValue(definition.AttributeType)
	}
	key := &tableKey{status: aws.StringValue(table.TableStatus)}
	for _, element := range table.KeySchema {
		name := aws.StringValue(element.AttributeName)
		if aws.StringValue(element.KeyType) == dynamodb.KeyTypeHash {
			key.partition = name
		} else {
			key.sort = name
		}
		if t := types[name]; t != dynamodb.ScalarAttributeTypeS {
			key.other += fmt.Sprintf(", but %q is of type %s", name, t)
		}
	}
	return key, nil
}
