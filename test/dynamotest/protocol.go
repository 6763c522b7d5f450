package dynamotest

import (
	"bytes"
	"encoding/json"
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

// ServeHTTP answers one request of the DynamoDB JSON protocol. It looks at no signature and at no access key: all callers
// share the engine's tables.
func (e *Engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status := http.StatusOK
	answer, err := e.answer(r)
	if err != nil {
		status, answer = errorReply(err)
	}
	body := appendJSON(nil, answer)
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(body)), 10))
	h.Set("X-Amzn-Requestid", "dynamotest-"+strconv.FormatInt(e.requests.Add(1), 10))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a caller that has gone away learns the outcome as it would from AWS: not at all
}

func (e *Engine) answer(r *http.Request) (reply, error) {
	name, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	op, known := operations[name]
	if !ok || !known || r.Method != http.MethodPost {
		return nil, &failure{kind: "UnknownOperationException", message: "An unknown operation was requested."}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequestSize+1))
	if err != nil {
		return nil, serializationError("the request's body could not be read: " + err.Error())
	}
	if len(body) > maxRequestSize {
		return nil, serializationError("the request is larger than " + strconv.Itoa(maxRequestSize) + " bytes")
	}
	req, err := readRequest(name, op, body)
	if err != nil {
		return nil, err
	}
	return op.run(e, req)
}

func readRequest(name string, op operation, body []byte) (*request, error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var members map[string]any
	if err := decoder.Decode(&members); err != nil {
		return nil, serializationError(err.Error())
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, serializationError("text after the end of the request")
	}
	req := &request{members: members}
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
	return http.StatusBadRequest, body
}
