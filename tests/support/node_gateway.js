// SPDX-License-Identifier: Apache-2.0
// A gateway in JavaScript: asks HOST PORT over TLS with the path and the body that it was asked with, and streams the
// answer back. It prints its own port.
// usage: node node_gateway.js HOST PORT
"use strict";
const http = require("http");
const https = require("https");

const [host, port] = process.argv.slice(2);

const server = http.createServer((request, response) => {
  const headers = { "Content-Type": "application/json", "Content-Length": request.headers["content-length"] ?? 0 };
  const options = { host, port, path: request.url, method: request.method, headers, agent: false, rejectUnauthorized: false };
  const above = https.request(options, (answer) => {
    response.writeHead(answer.statusCode, { "Content-Type": answer.headers["content-type"] });
    answer.pipe(response);
  });
  request.pipe(above);
});
server.listen(0, "127.0.0.1", () => console.log("port", server.address().port));
