// Package wire stands between a DynamoDB client and its server, for tests: it counts and keeps what goes over the wire, and
// does to single requests what networks and servers do to them on a bad day.
//
//	client ──► Wire ──hook──► Fault ──Call.Deliver──► server
//	                 │                                  │
//	                 └── nil: delivered as it is ◄──────┘
//
// A Wire is an http.RoundTripper around another one, dynamotest.Transport or Endpoint. Its hook sees every request before the
// server does and may answer with a Fault, which decides what the client gets and what the server gets: nothing, the request
// late, twice, or with its reply lost. A hook that keeps the Call can hand it to the server again at any later time.
//
// Everything happens in the goroutine of the request, so that it works inside a testing/synctest bubble and is as repeatable
// as the requests are. The exceptions are deliveries that outlive their request (Delay past the client's patience, Echo);
// Wire.Settle waits for those.
//
// Bodies are handed on as they came, but for Meter, which asks the server for the consumed capacity and so breaks the
// request's signature: DynamoDB Local and dynamotest don't look at it, AWS would refuse it.
package wire
