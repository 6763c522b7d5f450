package lockclient

import (
	"net/http"
	"time"
)

// NewHTTPClient returns an HTTP client for aws.Config.HTTPClient that suits a process
// with many locks. The SDK's default keeps two idle connections to a host and opens a
// new one, with a TLS handshake, for nearly every heartbeat beyond that; this one keeps
// as many as the heartbeats that overlap need, and opens no more than 1,024.
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
	transport.MaxIdleConnsPerHost = 256
	transport.MaxConnsPerHost = 1024
	transport.IdleConnTimeout = 90 * time.Second
	return &http.Client{Transport: transport}
}
