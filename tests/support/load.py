#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Streaming chat load for an OpenAI-compatible server: a mix of streamed, plain, cancelled and bad requests, until it
is ended or --requests are done."""
import argparse
import http.client
import json
import random
import threading
import time

WORDS = "babe cidu lofa menu rika sotu tave wizo nasha pethi".split()


def chat(port, tokens, stream, generator):
    prompt = " ".join(generator.choice(WORDS) for _ in range(generator.randint(3, 60)))
    body = {"messages": [{"role": "user", "content": prompt}], "max_tokens": tokens, "ignore_eos": True}
    if stream:
        body.update(stream=True, stream_options={"include_usage": True})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    return connection, connection.getresponse()


def one(port, tokens, kind, generator):
    if kind == "bad":
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", "/v1/chat/completions", "{not json", {"Content-Type": "application/json"})
        connection.getresponse().read()
    else:
        connection, response = chat(port, tokens, kind != "plain", generator)
        if kind == "cancel":
            response.read(600)
        else:
            response.read()
    connection.close()


def work(options, number, left):
    generator = random.Random(number)
    while True:
        with left["lock"]:
            if left["count"] == 0:
                return
            left["count"] -= 1
        kind = "stream" if options.only_streams else generator.choice(["stream"] * 7 + ["plain", "cancel", "bad"])
        try:
            one(options.port, options.tokens, kind, generator)
        except (OSError, http.client.HTTPException) as problem:
            print("request failed:", problem, flush=True)
            time.sleep(0.5)
        if options.pause:
            time.sleep(options.pause)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--streams", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=30)
    parser.add_argument("--requests", type=int, default=-1, help="in all; without it, for ever")
    parser.add_argument("--pause", type=float, default=0.2, help="seconds between two requests of a stream")
    parser.add_argument("--only-streams", action="store_true")
    options = parser.parse_args()
    left = {"count": options.requests, "lock": threading.Lock()}
    threads = [threading.Thread(target=work, args=(options, i, left), daemon=True) for i in range(options.streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
