// Package wire stands between a DynamoDB client and its server, for tests. It counts and keeps
// requests, and injects faults into single requests.
//
//	client ──► Wire ──hook──► Fault ──Call.Deliver──► server
//	                 │                                  │
//	                 └── nil: delivered as it is ◄──────┘
//
// A Wire is an http.RoundTripper around another one, such as dynamotest.Transport or Endpoint. Its
// hook sees every request before the server does. It may return a Fault, which decides what the
// client gets and what the server gets: nothing, the request late, twice, or with its reply lost. A
// hook that keeps the Call can deliver it again at any later time.
//
// Everything happens in the goroutine of the request. So it works inside a testing/synctest bubble,
// and is as repeatable as the requests are. The exceptions are deliveries that outlive their
// request (Delay, Echo). Wire.Settle waits for those.
//
// Bodies are delivered unchanged, except with Meter. Meter asks the server for the consumed
// capacity, and so breaks the request's signature. DynamoDB Local and dynamotest don't check that;
// AWS would refuse it.
package wire
