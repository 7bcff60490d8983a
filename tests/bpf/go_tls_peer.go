// SPDX-License-Identifier: Apache-2.0

// A program in Go that holds so many conversations over TLS with itself, once it reads a byte from its standard input.
// What is said is what tests/support/tls_conversations.h says.
// usage: go_tls_peer CONVERSATIONS [leave]      leave: ends while all of them wait for the other side
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
)

func must(err error) {
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}

type generator struct{ state uint64 }

func (g *generator) next() uint64 {
	g.state = g.state*6364136223846793005 + 1442695040888963407
	return g.state >> 33
}

func said(number uint32, byClient bool) []byte {
	side := uint64(0)
	if byClient {
		side = 1
	}
	random := generator{uint64(number)*2 + side}
	bits := 4 + random.next()%17
	size := 4 + random.next()%(1<<bits) // up to 1 MiB, small ones as often as large
	text := make([]byte, size)
	binary.LittleEndian.PutUint32(text, number)
	for i := 4; i < len(text); i++ {
		text[i] = byte(random.next())
	}
	return text
}

// Deep calls make the stack grow, and so move it.
func deep(levels int, do func()) {
	var filler [256]byte
	filler[levels%256] = 1
	if levels == 0 {
		do()
	} else {
		deep(levels-1, do)
	}
	runtime.KeepAlive(&filler)
}

func say(conn net.Conn, text []byte, random *generator) {
	for len(text) > 0 {
		size := int(1 + random.next()%16000)
		if size > len(text) {
			size = len(text)
		}
		n, err := conn.Write(text[:size])
		must(err)
		text = text[n:]
	}
}

func hear(conn net.Conn, size int, random *generator) {
	buffer := make([]byte, 16384)
	for size > 0 {
		most := int(1 + random.next()%uint64(len(buffer)))
		if random.next()%4 == 0 {
			most = 1
		}
		if most > size {
			most = size
		}
		n, err := conn.Read(buffer[:most])
		must(err)
		size -= n
	}
}

func oneSide(conn *tls.Conn, number uint32, client bool) {
	random := &generator{uint64(number) + 1000}
	if number%2 == 0 {
		must(conn.Handshake()) // otherwise the first read or write shakes hands
	}
	if client {
		deep(int(random.next()%64), func() { say(conn, said(number, true), random) })
	}
	deep(int(random.next()%64), func() { hear(conn, len(said(number, !client)), random) })
	if !client {
		say(conn, said(number, false), random)
	}
	if number%3 != 0 {
		conn.Close()
	} else {
		conn.NetConn().Close()
	}
}

func main() {
	conversations, err := strconv.Atoi(os.Args[1])
	must(err)
	_, err = io.ReadFull(os.Stdin, make([]byte, 1))
	must(err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(err)
	server := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}}}
	client := &tls.Config{InsecureSkipVerify: true}
	var sides sync.WaitGroup
	for number := 0; number < conversations; number++ {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		must(err)
		near, err := net.Dial("tcp", listener.Addr().String())
		must(err)
		far, err := listener.Accept()
		must(err)
		listener.Close()
		if len(os.Args) > 2 {
			go tls.Server(far, server).Read(make([]byte, 1))
			continue
		}
		sides.Add(2)
		go func(number uint32) {
			oneSide(tls.Client(near, client), number, true)
			sides.Done()
		}(uint32(number))
		go func(number uint32) {
			oneSide(tls.Server(far, server), number, false)
			sides.Done()
		}(uint32(number))
	}
	sides.Wait()
	if len(os.Args) > 2 {
		time.Sleep(200 * time.Millisecond)
	}
}
