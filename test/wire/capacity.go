package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Capacity is what requests cost, in DynamoDB's units.
type Capacity struct{ Read, Write float64 }

// Meter has every delivery from now on report what it consumed; see Capacity.
func (w *Wire) Meter() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.metered = true
}

func (w *Wire) isMetered() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.metered
}

// Capacity is what was consumed since Meter or the last Reset. An answer that is an error carries
// no figure; a write that its condition refused is charged by DynamoDB all the same, for an item of
// up to 1 KiB as one unit, and so it is here.
func (w *Wire) Capacity() Capacity {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.capacity
}

var readOperations = map[string]bool{"GetItem": true, "BatchGetItem": true, "Query": true, "Scan": true}

var meteredOperations = map[string]bool{"GetItem": true, "BatchGetItem": true, "Query": true, "Scan": true,
	"PutItem": true, "UpdateItem": true, "DeleteItem": true, "TransactWriteItems": true}

func askForCapacity(operation string, body []byte) []byte {
	if !meteredOperations[operation] {
		return body
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil {
		return body
	}
	members["ReturnConsumedCapacity"] = json.RawMessage(`"TOTAL"`)
	changed, err := json.Marshal(members)
	if err != nil {
		return body
	}
	return changed
}

// meter reads the figure out of an answer.
func (w *Wire) meter(operation string, reply *http.Response) (*http.Response, error) {
	body, err := io.ReadAll(reply.Body)
	_ = reply.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("wire: read the answer: %w", err)
	}
	reply.Body = io.NopCloser(bytes.NewReader(body))
	units := 0.0
	if reply.StatusCode == http.StatusOK {
		units = consumed(body)
	} else if strings.Contains(string(body), "ConditionalCheckFailedException") {
		units = 1
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if readOperations[operation] {
		w.capacity.Read += units
	} else {
		w.capacity.Write += units
	}
	return reply, nil
}

// consumed adds up the units in an answer, which has one figure or, for transactions and batches,
// one for each table.
func consumed(body []byte) float64 {
	type figure struct{ CapacityUnits float64 }
	var single struct{ ConsumedCapacity figure }
	if json.Unmarshal(body, &single) == nil {
		return single.ConsumedCapacity.CapacityUnits
	}
	var many struct{ ConsumedCapacity []figure }
	if json.Unmarshal(body, &many) != nil {
		return 0
	}
	sum := 0.0
	for _, f := range many.ConsumedCapacity {
		sum += f.CapacityUnits
	}
	return sum
}
