package dynamotest

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
)

// Transport serves requests by calling the handler, without a socket. The handler runs in a
// goroutine of its own, which ends when the handler returns. RoundTrip returns as soon as the
// request's context is done, as if the network had gone quiet, and the handler's answer is then
// lost, though what it did is done.
//
// Everything runs in goroutines that the caller's own request started, so that a client of the SDK
// over it works inside a testing/synctest bubble, in virtual time.
func Transport(h http.Handler) http.RoundTripper { return transport{h} }

type transport struct{ handler http.Handler }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := takeBody(r)
	if err != nil {
		return nil, err
	}
	ctx := r.Context()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	inner := r.Clone(ctx)
	inner.RequestURI = r.URL.RequestURI()
	inner.RemoteAddr = "dynamotest"
	inner.Body = io.NopCloser(bytes.NewReader(body))
	answered := make(chan *recorder, 1) // has room, so that the handler's goroutine ends though nobody listens any more
	go func() {
		rec := &recorder{header: http.Header{}}
		t.handler.ServeHTTP(rec, inner)
		answered <- rec
	}()
	select {
	case rec := <-answered:
		return rec.response(r), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// takeBody reads the whole body first: once RoundTrip has returned it is the caller's again.
func takeBody(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	defer func() { _ = r.Body.Close() }()
	return io.ReadAll(r.Body)
}

// recorder is the ResponseWriter of a request without a connection.
type recorder struct {
	header http.Header
	sent   http.Header // as it was when the status was written
	status int
	body   bytes.Buffer
}

func (rec *recorder) Header() http.Header { return rec.header }

func (rec *recorder) WriteHeader(status int) {
	if rec.status == 0 {
		rec.status = status
		rec.sent = rec.header.Clone()
	}
}

func (rec *recorder) Write(b []byte) (int, error) {
	rec.WriteHeader(http.StatusOK)
	return rec.body.Write(b)
}

func (rec *recorder) response(r *http.Request) *http.Response {
	rec.WriteHeader(http.StatusOK)
	return &http.Response{
		Status:        strconv.Itoa(rec.status) + " " + http.StatusText(rec.status),
		StatusCode:    rec.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        rec.sent,
		Body:          io.NopCloser(&rec.body),
		ContentLength: int64(rec.body.Len()),
		Request:       r,
	}
}
