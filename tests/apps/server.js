// The smallest Node server: node server.js (fd 3 | a path or port).
const http = require('http');

const server = http.createServer((request, response) => {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    const body = parts.length ? Buffer.concat(parts) : Buffer.from('hello');
    response.writeHead(200, { 'Content-Length': body.length, 'X-Pid': process.pid });
    response.end(body);
  });
});

const [kind, where] = process.argv.slice(2);
if (kind === 'fd') server.listen({ fd: Number(where) });
else if (kind === 'socket') server.listen(where);
else server.listen(Number(where), '127.0.0.1');
