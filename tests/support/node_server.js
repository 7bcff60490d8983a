// SPDX-License-Identifier: Apache-2.0
// An inference server in JavaScript, over TLS and HTTP/1.1 or 2: POST /v1/chat/completions, streamed or not. It prints its port.
// usage: node node_server.js KEY CERTIFICATE
"use strict";
const fs = require("fs");
const http2 = require("http2");

const [key, certificate] = process.argv.slice(2);
const head = { id: "node-1", model: "node-model" };

function answer(request, response) {
  const tokens = request.max_tokens ?? 4;
  const usage = { prompt_tokens: 11, completion_tokens: tokens };
  if (!request.stream) {
    const choice = { index: 0, message: { content: "word ".repeat(tokens) }, finish_reason: "stop" };
    const body = JSON.stringify({ ...head, choices: [choice], usage });
    response.writeHead(200, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) });
    response.end(body);
    return;
  }
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  let number = 0;
  const next = () => {
    const last = ++number === tokens;
    const choice = { index: 0, delta: { content: "word " }, finish_reason: last ? "stop" : null };
    response.write(`data: ${JSON.stringify({ ...head, choices: [choice], ...(last ? { usage } : {}) })}\n\n`);
    if (last) response.end("data: [DONE]\n\n");
    else setTimeout(next, 2);
  };
  next();
}

const options = { allowHTTP1: true, key: fs.readFileSync(key), cert: fs.readFileSync(certificate) };
const server = http2.createSecureServer(options, (request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => answer(JSON.parse(Buffer.concat(parts).toString()), response));
});
server.listen(0, "127.0.0.1", () => console.log("port", server.address().port));
