package demo

import (
	"log"
	"os"

	"github.com/go-logr/logr"
	"github.com/go-logr/stdr"
)

// Loggers gives an example its own log, and the library's, both on standard error. Without verbose
// the library is silent. A replica's lines carry no time, because the story puts its own before
// them.
func Loggers(verbose bool) (own *log.Logger, library logr.Logger) {
	flags := log.LstdFlags | log.Lmicroseconds
	if IsReplica() {
		flags = 0
	}
	own = log.New(os.Stderr, "", flags)
	if !verbose {
		return own, logr.Discard()
	}
	stdr.SetVerbosity(1)
	return own, stdr.New(log.New(os.Stderr, "", flags))
}
