# SPDX-License-Identifier: Apache-2.0
"""Requests of several clients at once over TLS, and over HTTP/2 as nghttp makes them, with the checks of their traces."""
import concurrent.futures
import json
import subprocess
import time


def ask_over_http2(folder, agent, server, count=1, scheme="https", **fields):
    """So many requests at once on one connection: their traces at that server, which all are whole."""
    model = f"model-{time.monotonic_ns()}"
    body = folder / f"{model}.json"
    body.write_text(json.dumps({"model": model, "messages": [{"role": "user", "content": "one two three"}],
                                "ignore_eos": True, **fields}))
    subprocess.run(["nghttp", "--null-out", f"--multiply={count}", f"--data={body}",
                    "--header=content-type: application/json",
                    f"{scheme}://127.0.0.1:{server.port}/v1/chat/completions"], check=True, capture_output=True)
    traces = agent.wait_traces(count, **{"gen_ai.request.model": model, "process.pid": server.pid,
                                         "inferscope.role": "server"})
    assert len(traces) == count, traces
    assert len({trace["client.port"] for trace in traces}) == 1, "all on one connection"
    for trace in traces:
        assert trace["network.protocol.version"] == "2", trace
        assert trace["inferscope.complete"], trace
    return traces


def ask_at_once(test, agent, server, model):
    """Eight clients, each with a streamed request and another one on a connection over TLS: all are seen whole."""
    def one(number):
        with server.client(tls=True) as client:
            return [client.chat(stream=True, max_tokens=5 + number), client.chat(max_tokens=2)]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        pairs = list(pool.map(one, range(8)))
    for number, pair in enumerate(pairs):
        for reply, tokens in zip(pair, (5 + number, 2)):
            trace = agent.trace_of(reply)
            test.assertEqual(trace["gen_ai.usage.output_tokens"], tokens, trace)
            test.assertEqual(trace["gen_ai.response.model"], model)
            test.assertEqual(trace["url.scheme"], "https")
            test.assertTrue(trace["inferscope.complete"], trace)
