# SPDX-License-Identifier: Apache-2.0
"""Requests over HTTP/2, as nghttp makes them."""
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
