#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Streaming chat load for an OpenAI-compatible server: a mix of streamed, plain, cancelled and bad requests, until it
is ended or --requests are done. With --token-times it notes when each token arrived."""
import argparse
import http.client
import itertools
import json
import random
import threading
import time

WORDS = "babe cidu lofa menu rika sotu tave wizo nasha pethi".split()


def chat(options, stream, generator):
    prompt = " ".join(generator.choice(WORDS) for _ in range(generator.randint(*options.words)))
    body = {"messages": [{"role": "user", "content": prompt}], "max_tokens": options.tokens, "ignore_eos": True}
    if stream:
        body.update(stream=True, stream_options={"include_usage": True})
    connection = http.client.HTTPConnection("127.0.0.1", options.port, timeout=60)
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    return connection, connection.getresponse()


def read_noting(response, name, out):
    """A line for each token: the request's name and the Unix nanoseconds of the token's arrival."""
    for line in response:
        if b'"content":"' in line:
            out.write(f"{name} {time.time_ns()}\n")


def one(options, kind, generator, name):
    if kind == "bad":
        connection = http.client.HTTPConnection("127.0.0.1", options.port, timeout=60)
        connection.request("POST", "/v1/chat/completions", "{not json", {"Content-Type": "application/json"})
        connection.getresponse().read()
    else:
        connection, response = chat(options, kind != "plain", generator)
        if kind == "cancel":
            response.read(600)
        elif kind == "stream" and options.token_times:
            read_noting(response, name, options.token_times)
        else:
            response.read()
    connection.close()


def work(options, number, left):
    generator = random.Random(f"{options.seed} {number}")
    for turn in itertools.count():
        with left["lock"]:
            if left["count"] == 0:
                return
            left["count"] -= 1
        kind = "stream" if options.only_streams else generator.choice(["stream"] * 7 + ["plain", "cancel", "bad"])
        try:
            one(options, kind, generator, f"{number}.{turn}")
        except (OSError, http.client.HTTPException) as problem:
            print("request failed:", problem, flush=True)
            time.sleep(0.5)
        time.sleep(generator.uniform(0.5, 1.5) * options.pause)  # else streams that began together go on so


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--streams", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=30)
    parser.add_argument("--requests", type=int, default=-1, help="in all; without it, for ever")
    parser.add_argument("--pause", type=float, default=0.2, help="seconds between two requests of a stream, on average")
    parser.add_argument("--only-streams", action="store_true")
    parser.add_argument("--words", type=int, nargs=2, default=(3, 60), help="least and most of a prompt")
    parser.add_argument("--seed", default="", help="another one, other prompts")
    parser.add_argument("--token-times", type=lambda path: open(path, "w", buffering=1), metavar="FILE",
                        help="a line for each token: its request, and when it arrived in Unix nanoseconds")
    options = parser.parse_args()
    left = {"count": options.requests, "lock": threading.Lock()}
    threads = [threading.Thread(target=work, args=(options, i, left), daemon=True) for i in range(options.streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
