// SPDX-License-Identifier: Apache-2.0

// An inference server in Go, over TLS, HTTP/1.1 or 2: POST /v1/chat/completions, streamed or not. It prints its port.
// usage: go_server KEY CERTIFICATE
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

type object = map[string]interface{}

func answer(response http.ResponseWriter, request *http.Request) {
	asked := struct {
		Stream bool `json:"stream"`
		Tokens int  `json:"max_tokens"`
	}{Tokens: 4}
	if err := json.NewDecoder(request.Body).Decode(&asked); err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	usage := object{"prompt_tokens": 11, "completion_tokens": asked.Tokens}
	if !asked.Stream {
		message := object{"content": strings.Repeat("word ", asked.Tokens)}
		choice := object{"index": 0, "message": message, "finish_reason": "stop"}
		response.Header().Set("Content-Type", "application/json")
		json.NewEncoder(response).Encode(object{"id": "go-1", "model": "go-model", "choices": []object{choice}, "usage": usage})
		return
	}
	response.Header().Set("Content-Type", "text/event-stream")
	for number := 1; number <= asked.Tokens; number++ {
		choice := object{"index": 0, "delta": object{"content": "word "}}
		event := object{"id": "go-1", "model": "go-model", "choices": []object{choice}}
		if number == asked.Tokens {
			choice["finish_reason"] = "stop"
			event["usage"] = usage
		}
		text, _ := json.Marshal(event)
		fmt.Fprintf(response, "data: %s\n\n", text)
		response.(http.Flusher).Flush()
		time.Sleep(2 * time.Millisecond)
	}
	fmt.Fprint(response, "data: [DONE]\n\n")
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/v1/chat/completions", answer)
	fmt.Println("port", listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(http.ServeTLS(listener, nil, os.Args[2], os.Args[1]))
}
