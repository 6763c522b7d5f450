//go:build unix

package main

import (
	"io"
	"net"
	"sync/atomic"
)

// fewBytes is less than what a suite sends that talks to its engine: a request has some 800.
const fewBytes = 2000

// door is a listener in front of an engine. It counts the bytes that pass, so that a suite can't
// pretend to have talked to it.
type door struct {
	url    string
	passed atomic.Int64 // bytes, to the engine

	listener net.Listener
}

// open opens a door to the engine at that address.
func open(engine string) (*door, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &door{url: "http://" + listener.Addr().String(), listener: listener}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go d.pass(client, engine)
		}
	}()
	return d, nil
}

// pass copies both ways until either side ends: a suite, or the engine.
func (d *door) pass(client net.Conn, engine string) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", engine)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	go func() {
		_, _ = io.Copy(client, server)
		_ = client.Close()
	}()
	_, _ = io.Copy(server, io.TeeReader(client, d))
}

// Write counts.
func (d *door) Write(p []byte) (int, error) {
	d.passed.Add(int64(len(p)))
	return len(p), nil
}

// close lets nobody in any more. A connection lasts until its suite or the engine ends.
func (d *door) close() { _ = d.listener.Close() }
