package lockclient

import (
	"net/http"
	"time"
)

// NewHTTPClient returns an HTTP client for aws.Config.HTTPClient that suits a process
// with many locks. The SDK's default keeps two idle connections to a host and opens a
// new one, with a TLS handshake, for nearly every heartbeat beyond that. This one keeps 128
// connections, since the locks of one DynamoDB client have at most 128 requests in flight.
// It opens up to 256: a request that has hung keeps its connection for some seconds after
// another one was let go in its place.
//
//	sess := session.Must(session.NewSession(&aws.Config{HTTPClient: lockclient.NewHTTPClient()}))
//
// Make one for a process and let all locks share the DynamoDB client that is built on it.
func NewHTTPClient() *http.Client {
	transport, ok := http.DefaultTransport.(*http.Transport)
	if ok {
		transport = transport.Clone()
	} else {
		transport = &http.Transport{Proxy: http.ProxyFromEnvironment}
	}
	transport.MaxIdleConns = 0 // no limit but the next
	transport.MaxIdleConnsPerHost = mostPlaces
	transport.MaxConnsPerHost = 2 * mostPlaces
	transport.IdleConnTimeout = 90 * time.Second
	return &http.Client{Transport: transport}
}
