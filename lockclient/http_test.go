package lockclient

import (
	"net/http"
	"testing"
)

// TestConnectionsAreEnoughForTheLine: every request that the line lets go finds a connection, also
// beside hung ones.
func TestConnectionsAreEnoughForTheLine(t *testing.T) {
	transport, ok := NewHTTPClient().Transport.(*http.Transport)
	if !ok {
		t.Fatal("not an http.Transport")
	}
	if mostPlaces != 128 {
		t.Errorf("%d places: the documentation of NewHTTPClient says 128", mostPlaces)
	}
	if idle, most := transport.MaxIdleConnsPerHost, transport.MaxConnsPerHost; idle != mostPlaces || most != 2*mostPlaces {
		t.Errorf("%d idle connections and %d in all, for %d places", idle, most, mostPlaces)
	}
}
