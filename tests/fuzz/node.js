// Reads requests as node's own HTTP server does, and says what it made of them.
// In: lines of JSON, lists of connections' bytes in base64. Out: a line for each, a list with a list
// of requests for each connection, and whether it was refused.
"use strict";
const http = require("node:http");
const { Duplex } = require("node:stream");
const readline = require("node:readline");

const server = http.createServer({ keepAliveTimeout: 0, requestTimeout: 0, maxHeaderSize: 1 << 20 });
server.on("request", (request, response) => {
  const seen = { first: [request.method, request.url], fields: request.rawHeaders, body: "", whole: false };
  request.socket.seen.requests.push(seen);
  request.setEncoding("latin1");
  request.on("data", (data) => { seen.body += data; });
  request.on("end", () => { seen.whole = request.complete; response.end(); });
  request.on("error", () => {});
});
server.on("checkContinue", (request, response) => server.emit("request", request, response));
server.on("checkExpectation", (request, response) => server.emit("request", request, response));
server.on("clientError", (error, socket) => { socket.seen.refused = error.code; });

function connect(bytes) {
  return new Promise((resolve) => {
    const socket = new Duplex({ read() {}, write(chunk, encoding, done) { done(); } });
    socket.seen = { requests: [], refused: "" };
    socket.setTimeout = () => socket;
    socket.on("error", () => {});
    socket.on("close", () => resolve(socket.seen));
    server.emit("connection", socket);
    socket.push(bytes);
    socket.push(null);
    setImmediate(() => setImmediate(() => setImmediate(() => socket.destroy())));
  });
}

readline.createInterface({ input: process.stdin }).on("line", async (line) => {
  const found = await Promise.all(JSON.parse(line).map((data) => connect(Buffer.from(data, "base64"))));
  process.stdout.write(JSON.stringify(found) + "\n");
});
