#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A server of KServe's v2 protocol over gRPC, and a client of it, on the distribution's gRPC library (hence its own
Python). Each request's text_input is answered with max_tokens words: as a stream by ModelStreamInfer, at once by
ModelInfer, and with UNAVAILABLE where the model is "broken".

usage: kserve_grpc.py serve                                    prints its port
       kserve_grpc.py ask PORT unary|stream MODEL TOKENS COUNT   so many at once on one connection, each in its own call"""
import concurrent.futures
import pathlib
import sys
import time

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from protobuf import fields, packed  # noqa: E402

SERVICE = "inference.GRPCInferenceService"


def text(value):
    """An element of a tensor of type BYTES."""
    return len(value).to_bytes(4, "little") + value


def request_of(model, tokens):
    limit = packed({1: b"max_tokens", 2: packed({2: tokens})})
    tensor = packed({1: b"text_input", 2: b"BYTES"})
    return packed({1: model.encode(), 3: b"request-1", 4: limit, 5: tensor, 7: text(b"one two three")})


def response_of(model, word):
    tensor = packed({1: b"text_output", 2: b"BYTES"})
    return packed({1: model, 3: b"request-1", 5: tensor, 6: text(word)})


def read(request):
    """Model and tokens."""
    found = fields(request)
    parameter = fields(found[4][0])
    return found[1][0], fields(parameter[2][0])[2][0]


def infer(request, context):
    model, tokens = read(request)
    if model == b"broken":
        context.abort(grpc.StatusCode.UNAVAILABLE, "the model is not there")
    return response_of(model, b"word " * tokens)


def stream_infer(requests, context):
    for request in requests:
        model, tokens = read(request)
        for _ in range(tokens):
            time.sleep(0.002)
            yield packed({2: response_of(model, b"word ")})


def serve():
    handlers = {"ModelInfer": grpc.unary_unary_rpc_method_handler(infer),
                "ModelStreamInfer": grpc.stream_stream_rpc_method_handler(stream_infer)}
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print("port", port, flush=True)
    server.wait_for_termination()


def ask(port, kind, model, tokens, count):
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        if kind == "stream":
            call = channel.stream_stream(f"/{SERVICE}/ModelStreamInfer")
            streams = [call(iter([request_of(model, tokens)]), timeout=60) for _ in range(count)]
            print("messages", [sum(1 for _ in stream) for stream in streams])
        else:
            call = channel.unary_unary(f"/{SERVICE}/ModelInfer")
            for future in [call.future(request_of(model, tokens), timeout=60) for _ in range(count)]:
                print("status", future.code().name)


if sys.argv[1] == "serve":
    serve()
else:
    ask(int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5]), int(sys.argv[6]))
