package account

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go/aws/credentials"
	v4 "github.com/aws/aws-sdk-go/aws/signer/v4"

	"github.com/leaderkit/leaderkit/test/wire"
)

// Config says which account to use, and where.
type Config struct {
	Endpoint    string                   // such as https://dynamodb.eu-west-1.amazonaws.com; required
	Region      string                   // that requests are signed for; required
	Credentials *credentials.Credentials // required
	Poll        time.Duration            // between two looks at a table that is being made or deleted; zero: 1 s
	HTTPClient  *http.Client             // nil: http.DefaultClient
}

// Account is a server that passes requests on to DynamoDB, signed with real credentials.
type Account struct {
	config   Config
	signer   *v4.Signer
	server   *http.Server
	serving  sync.WaitGroup
	ctx      context.Context // ends the requests that Close finds under way
	cancel   context.CancelFunc
	address  string
	existing map[string]bool // tables that were there before; refused

	mu    sync.Mutex
	made  map[string]bool // tables that this Account has made, and not deleted
	usage Usage
}

// Open asks which tables there are, and begins to listen on a port of 127.0.0.1. The caller must
// call Close.
func Open(ctx context.Context, config Config) (*Account, error) {
	for _, field := range []struct {
		name    string
		missing bool
		remedy  string
	}{
		{"Endpoint", config.Endpoint == "", "give it the URL of DynamoDB in your Region"},
		{"Region", config.Region == "", "give it your Region, such as eu-west-1"},
		{"Credentials", config.Credentials == nil, "give it those of your account"},
	} {
		if field.missing {
			return nil, fmt.Errorf("account: Config.%s is missing: %s", field.name, field.remedy)
		}
	}
	target, err := url.Parse(config.Endpoint)
	if err != nil || target.Host == "" || !strings.HasPrefix(target.Scheme, "http") {
		return nil, fmt.Errorf("account: Config.Endpoint is %q: give it a URL that begins with https://", config.Endpoint)
	}
	if config.Poll <= 0 {
		config.Poll = time.Second
	}
	if config.HTTPClient == nil {
		config.HTTPClient = http.DefaultClient
	}
	a := &Account{config: config, signer: v4.NewSigner(config.Credentials), existing: map[string]bool{}, made: map[string]bool{}}
	a.ctx, a.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := a.list(ctx); err != nil {
		a.cancel()
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		a.cancel()
		return nil, fmt.Errorf("account: listen on a port of this machine: %w", err)
	}
	a.address = "http://" + listener.Addr().String()
	a.server = &http.Server{Handler: a, ReadHeaderTimeout: time.Minute, BaseContext: func(net.Listener) context.Context { return a.ctx }}
	a.serving.Go(func() { _ = a.server.Serve(listener) })
	return a, nil
}

// URL is what to set DYNAMODB_ENDPOINT to.
func (a *Account) URL() string { return a.address }

// Usage is what has been asked for until now.
func (a *Account) Usage() Usage {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.usage
	u.Operations = maps.Clone(u.Operations)
	return u
}

// Close ends the server, and deletes the tables that are left. It tries until ctx is done, and its
// error names the tables that are still there.
func (a *Account) Close(ctx context.Context) error {
	a.cancel()
	_ = a.server.Close()
	a.serving.Wait()
	var errs []error
	for _, name := range a.left() {
		if err := a.deleteTable(ctx, name); err != nil {
			errs = append(errs, fmt.Errorf("account: table %s is still there: delete it by hand: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

func (a *Account) left() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Sorted(maps.Keys(a.made))
}

// list notes the tables that there are.
func (a *Account) list(ctx context.Context) error {
	input := map[string]any{}
	for {
		reply, err := a.call(ctx, "ListTables", input)
		if err != nil {
			return fmt.Errorf("account: list the tables that are there: %w", err)
		}
		var page struct {
			TableNames             []string
			LastEvaluatedTableName string
		}
		if err := json.Unmarshal(reply.body, &page); err != nil {
			return fmt.Errorf("account: ListTables answers with %q: %w", reply.body, err)
		}
		for _, name := range page.TableNames {
			a.existing[name] = true
		}
		if page.LastEvaluatedTableName == "" {
			return nil
		}
		input["ExclusiveStartTableName"] = page.LastEvaluatedTableName
	}
}

// ServeHTTP passes a request on.
func (a *Account) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the suite is gone
	}
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	if kind, why := a.refuse(operation, body); kind != "" {
		a.answer(w, refusal(kind, why))
		return
	}
	got, err := a.pass(r.Context(), r.Method, r.Header, body)
	if err != nil {
		panic(http.ErrAbortHandler) // the suite sees what this Account has seen: no answer
	}
	a.count(operation, body, got)
	if got.status == http.StatusOK {
		switch operation {
		case "CreateTable":
			got = a.usable(r.Context(), body, got)
		case "DeleteTable":
			a.gone(r.Context(), body)
		}
	}
	a.answer(w, got)
}

type reply struct {
	status int
	header http.Header
	body   []byte
}

func (a *Account) answer(w http.ResponseWriter, got reply) {
	for _, name := range []string{"Content-Type", "Server", "X-Amzn-Requestid", "X-Amz-Crc32"} {
		if value := got.header.Get(name); value != "" {
			w.Header().Set(name, value)
		}
	}
	w.WriteHeader(got.status)
	_, _ = w.Write(got.body)
}

// allowed are the operations that are passed on: each names the tables that it touches.
var allowed = map[string]bool{
	"GetItem": true, "PutItem": true, "UpdateItem": true, "DeleteItem": true, "Query": true, "Scan": true,
	"BatchGetItem": true, "BatchWriteItem": true, "TransactGetItems": true, "TransactWriteItems": true,
	"ListTables": true, "CreateTable": true, "DeleteTable": true, "DescribeTable": true,
	"UpdateTimeToLive": true, "DescribeTimeToLive": true,
	"": true, // the GET by which a suite sees that somebody answers
}

// refuse says why a request must not be passed on, and as what error; "": it may be.
func (a *Account) refuse(operation string, body []byte) (kind, why string) {
	if !allowed[operation] {
		return "UnknownOperationException", "the tests may not use " + operation + " in an account"
	}
	for _, name := range tablesOf(body) {
		if a.existing[name] {
			return "AccessDeniedException", fmt.Sprintf("%s on table %s: it was in this account before the tests, so they must not touch it", operation, name)
		}
	}
	return "", ""
}

func refusal(kind, why string) reply {
	text, _ := json.Marshal(map[string]string{"__type": "com.amazon.coral.service#" + kind, "Message": why})
	return reply{status: http.StatusBadRequest, header: http.Header{}, body: text}
}

// tablesOf returns all tables that a request names, also by their ARNs.
func tablesOf(body []byte) []string {
	var request any
	if json.Unmarshal(body, &request) != nil {
		return nil // DynamoDB refuses it
	}
	var names []string
	add := func(name string) { names = append(names, name[strings.LastIndex(name, "/")+1:]) }
	var walk func(value any)
	walk = func(value any) {
		switch v := value.(type) {
		case []any:
			for _, each := range v {
				walk(each)
			}
		case map[string]any:
			for key, each := range v {
				switch name, isText := each.(string); {
				case isText && strings.HasPrefix(key, "TableName"), isText && key == "ResourceArn":
					add(name)
				case key == "RequestItems":
					if tables, ok := each.(map[string]any); ok {
						for table := range tables {
							add(table)
						}
					}
				}
				walk(each)
			}
		}
	}
	walk(request)
	return names
}

// pass signs a request and sends it.
func (a *Account) pass(ctx context.Context, method string, header http.Header, body []byte) (reply, error) {
	r, err := http.NewRequestWithContext(ctx, method, a.config.Endpoint, nil)
	if err != nil {
		return reply{}, err
	}
	for _, name := range []string{"Content-Type", "X-Amz-Target", "User-Agent"} {
		if value := header.Get(name); value != "" {
			r.Header.Set(name, value)
		}
	}
	if method == http.MethodPost {
		if _, err := a.signer.Sign(r, bytes.NewReader(body), "dynamodb", a.config.Region, time.Now()); err != nil {
			return reply{}, fmt.Errorf("sign a request: %w", err)
		}
	}
	answer, err := a.config.HTTPClient.Do(r)
	if err != nil {
		return reply{}, err
	}
	got, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	return reply{status: answer.StatusCode, header: answer.Header, body: got}, err
}

// call sends a request of the Account's own. An answer that is no success is an error.
func (a *Account) call(ctx context.Context, operation string, input any) (reply, error) {
	body, err := json.Marshal(input)
	if err != nil {
		return reply{}, err
	}
	header := http.Header{"Content-Type": {"application/x-amz-json-1.0"}, "X-Amz-Target": {"DynamoDB_20120810." + operation}}
	got, err := a.pass(ctx, http.MethodPost, header, body)
	if err == nil && got.status != http.StatusOK {
		err = fmt.Errorf("%s: %s", http.StatusText(got.status), got.body)
	}
	return got, err
}

func tableName(body []byte) string {
	var request struct{ TableName string }
	_ = json.Unmarshal(body, &request)
	return request.TableName[strings.LastIndex(request.TableName, "/")+1:]
}

// usable notes a table that was made, and waits until it can be used. It returns the answer to
// CreateTable with the table as it is then.
func (a *Account) usable(ctx context.Context, body []byte, got reply) reply {
	name := tableName(body)
	a.mu.Lock()
	a.made[name] = true
	a.usage.Tables++
	a.mu.Unlock()
	for {
		described, err := a.call(ctx, "DescribeTable", map[string]string{"TableName": name})
		var table struct {
			Table json.RawMessage
		}
		if err == nil && json.Unmarshal(described.body, &table) == nil && strings.Contains(string(table.Table), `"TableStatus":"ACTIVE"`) {
			text, _ := json.Marshal(map[string]json.RawMessage{"TableDescription": table.Table})
			got.body, got.header = text, got.header.Clone()
			got.header.Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(text)), 10))
			return got
		}
		if !a.pause(ctx) {
			return got
		}
	}
}

// gone waits until a table that is being deleted is gone; false: ctx is done before.
func (a *Account) gone(ctx context.Context, body []byte) bool {
	name := tableName(body)
	for {
		_, err := a.call(ctx, "DescribeTable", map[string]string{"TableName": name})
		if err != nil && strings.Contains(err.Error(), "ResourceNotFoundException") {
			a.mu.Lock()
			delete(a.made, name)
			a.mu.Unlock()
			return true
		}
		if !a.pause(ctx) {
			return false
		}
	}
}

// deleteTable deletes a table, also one that is still being made.
func (a *Account) deleteTable(ctx context.Context, name string) error {
	input := map[string]string{"TableName": name}
	body, _ := json.Marshal(input)
	for {
		_, err := a.call(ctx, "DeleteTable", input)
		if err == nil || strings.Contains(err.Error(), "ResourceNotFoundException") {
			if a.gone(ctx, body) {
				return nil
			}
			return context.Cause(ctx)
		}
		if !strings.Contains(err.Error(), "ResourceInUseException") && !strings.Contains(err.Error(), "LimitExceededException") || !a.pause(ctx) {
			return err
		}
	}
}

// pause waits until the next look at a table; false: ctx is done first.
func (a *Account) pause(ctx context.Context) bool { return wire.Sleep(ctx, a.config.Poll) == nil }
