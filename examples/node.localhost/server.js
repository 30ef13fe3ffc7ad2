// Node's own HTTP server, without a package.
"use strict";
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");

const shared = path.join(__dirname, "..", "shared");
const files = {
  "/style.css": ["text/css", fs.readFileSync(path.join(shared, "style.css"))],
  "/sites.js": ["text/javascript", fs.readFileSync(path.join(shared, "sites.js"))],
};
const since = new Date().toTimeString().slice(0, 8);
let number = 0;

const page = () => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>node.localhost</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="style.css">
<nav></nav>
<h1>Not only Python</h1>
<p>This is Node's own HTTP server. Luisito starts a command and speaks HTTP to it; what the command is written in does not
matter.</p>
<dl>
  <dt>server</dt><dd>Node ${process.version}</dd>
  <dt>process</dt><dd>${process.pid}</dd>
  <dt>awake since</dt><dd>${since}</dd>
  <dt>request</dt><dd>no. ${++number} of this process</dd>
</dl>
<script src="sites.js"></script>
</html>
`;

const server = http.createServer((request, response) => {
  const [kind, body] = request.url === "/"
    ? ["text/html; charset=utf-8", page()]
    : files[request.url] ?? ["text/plain", null];
  response.writeHead(body === null ? 404 : 200, { "Content-Type": kind });
  response.end(body ?? "Not found\n");
});
server.listen(Number(process.argv[2]), "127.0.0.1");

// Ends once the last answer is out; connections that wait for another request are closed at once.
process.on("SIGTERM", () => {
  server.close();
  server.closeIdleConnections();
});
