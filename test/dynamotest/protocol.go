package dynamotest

import (
	"cmp"
	"errors"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"
)

const (
	targetPrefix   = "DynamoDB_20120810."
	typePrefix     = "com.amazonaws.dynamodb.v20120810#"
	validationType = "com.amazon.coral.validate#ValidationException"
	contentType    = "application/x-amz-json-1.0"
	maxRequestSize = 16 << 20
)

// ServeHTTP answers one request of the DynamoDB JSON protocol. It looks at no signature and at no
// access key: all callers share the engine's tables.
func (e *Engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, body := answerOf(e.serve(r))
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(body)), 10))
	h.Set("X-Amzn-Requestid", "dynamotest-"+strconv.FormatInt(e.requests.Add(1), 10))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a caller that has gone away learns the outcome as it would from AWS: not at all
}

// Answer answers one request without HTTP: an operation such as "GetItem", and the JSON that is its
// body. The answer is what ServeHTTP would send. It serves simulations, to which HTTP costs more
// than all the rest.
func (e *Engine) Answer(operation string, body []byte) (status int, answer []byte) {
	return answerOf(e.run(operation, body))
}

func answerOf(answer reply, err error) (status int, body []byte) {
	status = http.StatusOK
	if err != nil {
		status, answer = errorReply(err)
	}
	return status, appendJSON(make([]byte, 0, 512), answer)
}

func (e *Engine) serve(r *http.Request) (reply, error) {
	name, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	if !ok || r.Method != http.MethodPost {
		return nil, errUnknownOperation
	}
	if _, known := operations[name]; !known {
		return nil, errUnknownOperation
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequestSize+1))
	if err != nil {
		return nil, serializationError("the request's body could not be read: " + err.Error())
	}
	if len(body) > maxRequestSize {
		return nil, serializationError("the request is larger than " + strconv.Itoa(maxRequestSize) + " bytes")
	}
	return e.run(name, body)
}

var errUnknownOperation = &failure{kind: "UnknownOperationException", message: "An unknown operation was requested."}

func (e *Engine) run(name string, body []byte) (reply, error) {
	op, known := operations[name]
	if !known {
		return nil, errUnknownOperation
	}
	req, err := readRequest(name, op, body)
	if err != nil {
		return nil, err
	}
	return op.run(e, req)
}

func readRequest(name string, op operation, body []byte) (*request, error) {
	members, err := decodeObject(body)
	if err != nil {
		return nil, err
	}
	req := &request{operation: name, members: members}
	return req, req.refuseUnsupported(name, op.members)
}

func serializationError(problem string) error {
	return &failure{kind: "SerializationException", message: problem}
}

func errorReply(err error) (status int, body reply) {
	var f *failure
	if !errors.As(err, &f) {
		return http.StatusBadRequest, reply{"__type": validationType, "Message": err.Error()}
	}
	body = reply{"__type": typePrefix + f.kind, "Message": f.message}
	if f.item != nil {
		body["Item"] = f.item
	}
	if f.reasons != nil {
		body["CancellationReasons"] = f.reasons
	}
	return cmp.Or(f.status, http.StatusBadRequest), body
}
